"""documentation/data_format.md: each kind of target that it shows is read as it stands there, and is what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Exclusive, Masks, Regions, Target, read_dataset

PAGE = (Path(__file__).resolve().parents[2] / "documentation" / "data_format.md").read_text()
SECTION = re.split(r"^## Other targets\n", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
SHOWN = {
    title: json.loads(block)
    for title, block in re.findall(r"^\*\*([\w ]+)\*\*.*?^```json\n(.*?)^```$", SECTION, re.M | re.S)
}
MEANT: dict[str, Target] = {
    "Regions": Regions(names=("whole", "core", "enhancing"), members=((1, 2, 3), (2, 3), (3,)), order=(1, 2, 3)),
    "Masks": Masks(names=("axon", "myelin")),
    "Ignored": Exclusive(names=("background", "liver"), ignore=255),
    "Annotated": Exclusive(names=("background", "liver", "spleen")),
    "Soft labels": Masks(names=("lesion",), soft=True),
}


def test_every_example_is_looked_at() -> None:
    assert SHOWN.keys() == MEANT.keys()


@pytest.mark.parametrize("title", MEANT)
def test_an_example_is_read_as_it_is_meant(title: str, tmp_path: Path) -> None:
    cases = ("case_001", "case_002")
    listed = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases]
    content: dict[str, Any] = {"modality": {"0": "MRI"}, "training": listed, **SHOWN[title]}
    (tmp_path / "labelsTr").mkdir()
    for case in cases:
        for name in MEANT[title].files_of(case):
            (tmp_path / "labelsTr" / f"{name}.nii.gz").touch()
    (tmp_path / "dataset.json").write_text(json.dumps(content))

    dataset = read_dataset(tmp_path)

    assert dataset.target == MEANT[title]
    annotated = SHOWN[title].get("annotated", {})
    assert [list(case.annotated or ()) for case in dataset.training if title == "Annotated"] == list(annotated.values())
