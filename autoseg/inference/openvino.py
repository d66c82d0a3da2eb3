"""Networks compiled by OpenVINO, an optional engine for CPUs (`pip install 'autoseg[openvino]'`).

It fuses convolution, normalisation and nonlinearity, and keeps weights in the order its kernels read them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn

from autoseg.inference.members import Forward

FORMATS = {"fp32": "f32", "bf16": "bf16"}

MOST_SIDE_BY_SIDE = 8
"""Tiles, each with its share of the threads: the flips of one tile; small tiles do not keep several threads busy."""


def compile_network(network: nn.Module, tile_shape: Sequence[int], *, precision: str) -> Forward:
    """A network as a function of tiles, computed by OpenVINO with as many threads as torch has, side by side.

    Args:
        network: On the CPU, in evaluation mode; of several outputs the first is taken.
        tile_shape: `(C, *patch)`.
        precision: "fp32" or "bf16".
    """
    streams = min(torch.get_num_threads(), MOST_SIDE_BY_SIDE)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the converter's way to trace warns of what is constant for a tile's shape
        # left alone, the converter traces with torch's own check: three seconds, for what engines.py compares anyway
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, torch.zeros(1, *tile_shape), check_trace=False
        )
        model = openvino.convert_model(traced)
    model.reshape([1, *tile_shape])
    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": FORMATS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": streams,
        },
    )
    return _Forward(compiled, streams)


class _Forward:
    def __init__(self, compiled: Any, streams: int) -> None:
        self.output = compiled.outputs[0]
        self.queue = openvino.AsyncInferQueue(compiled, streams)

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        logits = np.empty((len(tiles), *list(self.output.shape)[1:]), np.float32)

        def store(request: Any, number: int) -> None:
            logits[number] = request.get_tensor(self.output).data[0]

        self.queue.set_callback(store)
        for number, tile in enumerate(tiles.contiguous().numpy()):
            self.queue.start_async({0: tile[None]}, userdata=number, share_inputs=True)
        self.queue.wait_all()
        return torch.from_numpy(logits)
