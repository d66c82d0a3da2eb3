from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from autoseg.training.run_record import weights_sha256


def test_the_hash_is_of_names_kinds_shapes_and_values_alone(tmp_path: Path) -> None:
    weights = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3, dtype=torch.int64)}
    expected = hashlib.sha256(
        b'["a", "int64", []]\n'
        + np.array(3, np.int64).tobytes()
        + b'["b", "float32", [1, 2]]\n'
        + np.array([1, 2], np.float32).tobytes()
    ).hexdigest()
    assert weights_sha256(weights) == expected

    torch.save(weights, tmp_path / "new")
    torch.save(weights, tmp_path / "old", _use_new_zipfile_serialization=False)
    assert (tmp_path / "new").read_bytes() != (tmp_path / "old").read_bytes()
    for name in ("new", "old"):
        assert weights_sha256(dict(reversed(torch.load(tmp_path / name, weights_only=True).items()))) == expected


def test_memory_layout_does_not_matter_but_every_bit_kind_shape_and_name_does() -> None:
    tensor = torch.arange(16, dtype=torch.float32).reshape(1, 2, 2, 2, 2)
    same = weights_sha256({"w": tensor})
    assert weights_sha256({"w": tensor.to(memory_format=torch.channels_last_3d)}) == same

    nudged = tensor.clone()
    nudged[0, 0, 0, 0, 1] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    others = ({"w": nudged}, {"v": tensor}, {"w": tensor.flatten()}, {"w": tensor.int()}, {"w": tensor.bfloat16()})
    assert len({same, *map(weights_sha256, others)}) == 6
