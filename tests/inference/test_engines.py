"""OpenVINO against torch: the same labels in fp32, nearly the same in bf16; refused where it cannot be used."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest
import torch
from small_plans import unet_settings
from torch import nn

from autoseg.errors import ModelError
from autoseg.geometry import Geometry
from autoseg.inference import engines
from autoseg.inference.engines import ENGINES, start_networks
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.networks import Precision, UNet
from autoseg.networks.activations import SOFTMAX
from autoseg.plans import Topology

CPU = torch.device("cpu")
FP32 = Precision(name="fp32", device="cpu")
HAS_OPENVINO = engines.prefers_openvino("auto", CPU)
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="needs OpenVINO: pip install 'autoseg[openvino]'")


def unet(dimensions: int = 3, *, deep: bool = False, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = UNet(
        unet_settings(
            Topology(strides=((1,) * dimensions, (2,) * dimensions), kernels=((3,) * dimensions,) * 2),
            features=8,
            max_features=16,
            convs_per_stage=2,
        ),
        in_channels=2,
        classes=4,
    )
    network.deep_supervision = deep
    return network


def forwards(engine: Any, networks: list[nn.Module], *, precision: Precision = FP32, patch: Any = (12, 8, 16)) -> Any:
    return start_networks(networks, (2, *patch), engine=engine, precision=precision, device=CPU, activation=SOFTMAX)


@needs_openvino
@pytest.mark.parametrize(("deep", "patch"), [(False, (12, 8, 16)), (True, (16, 24))])
def test_openvino_agrees_with_torch_in_fp32(deep: bool, patch: tuple[int, ...]) -> None:
    networks = [unet(len(patch), deep=deep, seed=seed) for seed in (0, 1)]
    tiles = torch.randn(5, 2, *patch, generator=torch.Generator().manual_seed(1))
    started, expected = (forwards(engine, networks, patch=patch) for engine in ("openvino", "torch"))

    assert (started.engine, expected.engine) == ("openvino", "torch")
    with torch.inference_mode():
        for ours, theirs in zip(started.forwards, expected.forwards, strict=True):
            torch.testing.assert_close(ours(tiles), theirs(tiles), rtol=1e-4, atol=1e-4)
            assert (ours(tiles).argmax(dim=1) != theirs(tiles).argmax(dim=1)).float().mean() < 1e-4


@needs_openvino
def test_a_case_predicted_by_openvino_has_the_labels_of_torch(make: Any) -> None:
    plans = make.plans(patch=(8, 12, 8), channels=("T1", "T2"), labels=("background", "a", "b", "c"))
    model = make.model(plans, unet(), unet(seed=1), mirror_axes=(0, 1, 2))
    image = np.random.default_rng(0).standard_normal((2, 11, 15, 13)).astype(np.float32)

    ours, theirs = (
        Predictor(model, Computation(device="cpu", precision="fp32", engine=engine)).predict(
            image, Geometry(spacing=(1, 1, 1))
        )
        for engine in ("openvino", "torch")
    )

    assert (ours.segmentation != theirs.segmentation).mean() < 1e-3
    assert len(np.unique(theirs.segmentation)) > 1


class Raw(nn.Module):
    """Answers torch and the converter differently."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 4, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.conv(tiles)
        return 9 * scores.flip(1) if torch.jit.is_tracing() else 9 * scores


class Unconvertible(nn.Module):
    """Leaves torch where no converter can follow."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise NotImplementedError("no such operation")
        return torch.cat([tiles, tiles], dim=1)


@needs_openvino
@pytest.mark.parametrize(
    ("network", "cause"),
    [
        (Raw(), r"OpenVINO: network 0 gives other probabilities than torch in fp32: they differ by 0\.\d+ in the mean"),
        (Unconvertible(), r"OpenVINO: cannot compute network 0: \w+Error: "),
    ],
)
def test_a_network_that_openvino_gets_wrong_is_computed_by_torch_and_that_is_said(
    network: nn.Module, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        started = forwards("auto", [network])

    assert started.engine == "torch"
    with pytest.raises(ModelError, match=cause) as error:
        forwards("openvino", [network])
    assert caplog.messages == [f"{error.value}; computed by torch instead"]


@needs_openvino
def test_what_computes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="autoseg"):
        forwards("auto", [unet()])

    assert caplog.messages == [
        "OpenVINO computes the network (its answers were compared with torch's; `engine=torch` does without)"
    ]


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize(("own", "callers"), [(False, 2), (True, 1)])
@pytest.mark.usefixtures("threads")
def test_only_our_own_networks_are_called_from_several_threads(own: bool, callers: int) -> None:
    seen: set[int] = set()
    both = threading.Barrier(callers, timeout=20)

    def note(*_: object) -> None:
        seen.add(threading.get_ident())
        both.wait()

    network = nn.Conv3d(2, 4, 1) if own else unet()
    network.register_forward_pre_hook(note)
    started = forwards("torch", [network])
    assert len(list(started.ask(started.forwards, torch.zeros(2, 2, 12, 8, 16)))) == 2

    assert len(seen) == callers
    assert own == (seen == {threading.get_ident()})


def test_torch_is_taken_where_it_is_asked_for(make: Any) -> None:
    assert Predictor(make.model(make.plans()), Computation(device="cpu", engine="torch")).engine == "torch"
    assert Predictor(make.model(make.plans()), Computation(device="cpu")).engine == "torch"


@pytest.mark.skipif(HAS_OPENVINO, reason="OpenVINO is installed")
def test_openvino_that_is_not_installed_is_refused_by_name_and_not_missed_by_auto(make: Any) -> None:
    with pytest.raises(ModelError) as error:
        Predictor(make.model(make.plans()), Computation(device="cpu", engine="openvino"))

    assert str(error.value) == "engine openvino: not installed; install it with: pip install 'autoseg[openvino]'"
    assert Predictor(make.model(make.plans()), Computation(device="cpu", engine="auto")).engine == "torch"


@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        ("onnx", "cpu", "engine 'onnx': unknown; use auto, torch, openvino"),
        ("openvino", "cuda", "engine openvino: computes on a CPU, not on cuda; use `engine=torch`, or `device=cpu`"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused(engine: str, device: str, message: str) -> None:
    with pytest.raises(ModelError) as error:
        engines.require_engine(engine, torch.device(device))

    assert str(error.value) == message
    assert ENGINES == ("auto", "torch", "openvino")
