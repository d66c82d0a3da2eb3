"""Where nothing says how large a pixel is, scores are told in pixels; where one file says it, in mm and ml."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.evaluation.metrics import Counted
from autoseg.evaluation.summary import load_summary, save_summary, score_folder
from autoseg.files.storage import read_json
from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.reporting.scores import score_table

PIXELS = Geometry(spacing=(1.0, 1.0, 1.0), in_pixels=True)
LABELS = np.ones((1, 40, 50), np.uint8)


def scored(folder: Path, reference: Geometry) -> list[str]:
    for name, geometry in {"predicted": PIXELS, "true": reference}.items():
        (folder / name).mkdir(parents=True)
        write_image(folder / name / "a.png", LABELS, geometry)
    counted = Counted(members={1: (1,)})
    summary = score_folder(folder / "predicted", folder / "true", counted, workers=1, surface_distances=True)
    save_summary(summary, folder / "summary.json")
    loaded = load_summary(folder / "summary.json")
    assert loaded.in_pixels == summary.in_pixels == read_json(folder / "summary.json").get("in_pixels", False)
    return score_table(loaded).splitlines()


def test_scores_of_pictures_without_a_size_are_in_pixels(tmp_path: Path) -> None:
    header, line = scored(tmp_path / "pixels", PIXELS)
    assert header.endswith("HD95 px      n   true 1000 px   found 1000 px")
    assert line.split()[-2:] == ["2.000", "2.000"]
    assert "distances in pixels" in read_json(tmp_path / "pixels" / "summary.json")["description"]


def test_scores_of_pictures_with_a_size_are_in_millimetres(tmp_path: Path) -> None:
    header, line = scored(tmp_path / "mm", Geometry(spacing=(1.0, 0.5, 0.5)))
    assert header.endswith("HD95 mm      n    true ml   found ml")
    assert line.split()[-2:] == ["0.500", "0.500"]
    assert "distances in pixels" not in read_json(tmp_path / "mm" / "summary.json")["description"]
