"""What a scorer gives is exported, whichever way it looked at the case: here along an axis that no slab follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Exclusive
from autoseg.geometry import Geometry
from autoseg.inference.export import export_segmentation
from autoseg.inference.members import Members, Networks, all_flips
from autoseg.inference.memory import tiles_at_once
from autoseg.inference.scorers.scorer import OnParts, Scorer, Slab
from autoseg.preprocessing.prepare import PreparedCase, prepare_case

TARGET = Exclusive(names=("background", "bright"))


@dataclass(frozen=True)
class SweepOfColumns:
    """A 2D network sees planes across the third axis; its answers wait on disk until the last has come."""

    members: Members
    file: Path

    def scores(self, case: PreparedCase, on_parts: OnParts) -> Iterator[Slab]:
        planes, rows, columns = case.data.shape[1:]
        shape = (self.members.channels, planes, rows, columns)
        held = np.memmap(self.file, np.float32, "w+", shape=shape)
        for column in range(columns):
            plane = torch.from_numpy(case.data[None, :, :, :, column].astype(np.float32))
            held[..., column] = self.members.averages(plane, tiles_at_once(4))[0]
            on_parts(column + 1, columns)
        for start in range(planes):
            averages = torch.from_numpy(np.array(held[:, start : start + 1]))
            yield Slab(start=start, scores=self.members.reduction.scores(averages))


class BrightByRow(nn.Module):
    """What is above 1 is bright; the further up in the plane, the surer."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        surer = torch.linspace(1, 3, planes.shape[2])[:, None]
        return torch.cat([(1 - planes) * surer, (planes - 1) * surer], dim=1)


def test_a_scorer_that_looks_along_another_axis_and_yields_at_its_end_is_exported(make: Any, tmp_path: Path) -> None:
    plans, image = make.plans(labels=TARGET.names), np.random.default_rng(0).random((1, 7, 9, 11), np.float32) * 2
    case = prepare_case(
        RawCase(identifier="a", data=image, segmentation=None, geometry=Geometry(spacing=(1, 1, 1))),
        plans,
        "3d_fullres",
    )
    networks = Networks(forwards=(BrightByRow(),), device=torch.device("cpu"))
    members = Members(networks=networks, flips=all_flips((0, 1)), target=TARGET)
    scorer: Scorer = SweepOfColumns(members, tmp_path / "volume")
    done: list[tuple[int, int]] = []

    scores = torch.cat([slab.scores for slab in scorer.scores(case, lambda *parts: done.append(parts))], dim=1)
    segmentation = export_segmentation(scorer.scores(case, lambda *_: None), case.properties, TARGET)

    surer = torch.linspace(1, 3, 7)[:, None, None]
    bright = 2 * (torch.from_numpy(image[0]) - 1)
    expected = ((bright * surer).sigmoid() + (bright * surer.flip(0)).sigmoid()) / 2
    torch.testing.assert_close(scores[1], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(segmentation, image[0] > 1)
    assert done == [(column, 11) for column in range(1, 12)]
