from __future__ import annotations

import pytest
import torch

from autoseg.errors import ModelError
from autoseg.networks import precision
from autoseg.networks.precision import Precision, resolve_precision

CPU = torch.device("cpu")


def processor(monkeypatch: pytest.MonkeyPatch, *features: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True), raising=False)


@pytest.mark.parametrize(
    ("features", "expected"),
    [(("avx512_bf16",), "bf16"), (("amx_bf16",), "bf16"), (("avx512_f", "avx2"), "fp32"), ((), "fp32")],
)
def test_a_cpu_computes_in_bf16_only_where_its_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, features: tuple[str, ...], expected: str
) -> None:
    processor(monkeypatch, *features)

    assert resolve_precision("auto", CPU).name == expected


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx2")
    with pytest.raises(ModelError, match=r"bf16: not in this cpu device's hardware.*use fp32"):
        resolve_precision("bf16", CPU)


def test_a_gpu_is_judged_by_itself_and_not_by_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An A100, a T4 and a GTX 1080 in one machine; only the first is the current device."""
    capabilities = [(8, 0), (7, 5), (6, 1)]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)

    chosen = [resolve_precision("auto", torch.device("cuda", index)).name for index in range(3)]

    assert chosen == ["bf16", "fp16", "fp32"]
    with pytest.raises(ModelError, match=r"precision bf16: not in this cuda device's hardware.*use fp16 or fp32"):
        resolve_precision("bf16", torch.device("cuda", 1))


def test_fp16_is_refused_on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx512_bf16")
    with pytest.raises(ModelError, match="use bf16 or fp32"):
        resolve_precision("fp16", CPU)


def test_older_torch_is_told_by_the_kernels_list_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision.Path, "read_text", lambda _: "flags : fpu avx512_bf16 avx2")
    assert resolve_precision("auto", CPU).name == "bf16"

    monkeypatch.setattr(precision.Path, "read_text", lambda _: "flags : fpu avx2 avx512f")
    assert resolve_precision("auto", CPU).name == "fp32"


def test_autocast_computes_matrix_products_in_the_chosen_format(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx512_bf16")
    ones = torch.ones(2, 2)
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with resolve_precision(name, CPU).autocast():
            assert (ones @ ones).dtype == dtype
        assert not resolve_precision(name, CPU).needs_scaler


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match=r"precision 'half': unknown; use one of auto, fp32, bf16, fp16"):
        resolve_precision("half", CPU)


def test_channels_lie_last_where_that_is_faster() -> None:
    formats = {
        (name, device, dimensions): Precision(name=name, device=device).memory_format(dimensions)
        for name, device, dimensions in [
            ("bf16", "cpu", 3),
            ("bf16", "cpu", 2),
            ("fp32", "cpu", 3),
            ("bf16", "cuda", 3),
        ]
    }

    assert formats == {
        ("bf16", "cpu", 3): torch.channels_last_3d,
        ("bf16", "cpu", 2): torch.channels_last,
        ("fp32", "cpu", 3): torch.contiguous_format,
        ("bf16", "cuda", 3): torch.contiguous_format,
    }
