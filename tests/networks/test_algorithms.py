"""When cuDNN measures its algorithms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from autoseg.networks.algorithms import trying_algorithms


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_it_measures_where_that_is_wanted_and_does_as_before_afterwards(before: bool, wanted: bool) -> None:
    torch.backends.cudnn.benchmark = before

    with pytest.raises(KeyError), trying_algorithms(wanted):
        assert torch.backends.cudnn.benchmark is wanted
        raise KeyError

    assert torch.backends.cudnn.benchmark is before


def test_never_where_every_bit_is_to_be_the_same() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with trying_algorithms(True):
            assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
