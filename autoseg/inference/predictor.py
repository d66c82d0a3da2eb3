"""One case through a trained model: prepared, predicted tile by tile, averaged over mirrors and folds, restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from autoseg.arrays import Array, LabelArray
from autoseg.dataset.raw_cases import RawCase
from autoseg.errors import DatasetError, ModelError
from autoseg.geometry import STEP_SIZE, Geometry
from autoseg.inference.cascade import expand_labels
from autoseg.inference.engines import Engine, Networks, require_engine, start_networks
from autoseg.inference.export import export_fast, export_segmentation
from autoseg.inference.members import Flip, all_flips, mean_probabilities
from autoseg.inference.memory import (
    BYTES_PER_VALUE,
    fitting_batch,
    say_once,
    tile_bytes,
    tiles_at_once,
    tiles_on_gpu,
)
from autoseg.inference.model import (
    BuildNetwork,
    Checkpoint,
    TrainedModel,
    input_channels,
    load_model,
    weights_sha256,
)
from autoseg.inference.probabilities import PackedProbabilities, Packer
from autoseg.inference.tiles import Tiling, predict_slabs
from autoseg.inference.window import Slab
from autoseg.machine.resources import available_memory
from autoseg.networks import Precision, resolve_device, resolve_precision
from autoseg.networks.activations import activation_of
from autoseg.networks.algorithms import trying_algorithms
from autoseg.networks.devices import free_device_memory
from autoseg.preprocessing.prepare import PreparedCase, prepare_case
from autoseg.preprocessing.previous import prepare_previous
from autoseg.words import counted, in_gigabytes

Mode: TypeAlias = Literal["normal", "fast"]
MODES = ("normal", "fast")
IMAGE_AXES = 4

BATCH_VOXELS = {"cpu": 2**20, "cuda": 2**22}
"""Voxels of the tiles handed to the network at once: two patches of 128x128x128 on a GPU, whose activations take
about 2 GB then, and more where it has room; on a CPU, whose cores compute small tiles side by side, eight flips of a patch of 64x64x32."""

SHARE_OF_DEVICE_MEMORY = 0.4
"""Of the GPU's free memory: scores that need more are summed in main memory."""

SHARE_OF_MEMORY = 0.8
"""Of the free main memory, for scores and tiles; what is estimated may err, and other threads read and write images."""

OnTiles: TypeAlias = Callable[[int, int], object]
"""Called with the number of tiles that are done, and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was predicted for one case.

    Attributes:
        segmentation: `(Z, Y, X)` on the original grid, uint8, or uint16 where there are more than 255 labels.
        geometry: The input's.
        probabilities: Of every class, packed; None where they were not asked for.
    """

    segmentation: LabelArray
    geometry: Geometry
    probabilities: PackedProbabilities | None = None


class Predictor:
    """Predicts cases with one trained model.

    Args:
        device: A torch device or its name ("cpu", "cuda", "mps"); None takes the best there is.
        precision: "auto", "fp32", "bf16" or "fp16"; probabilities and averages are always computed in fp32.
        step_size: How far the window moves, as a fraction of the patch; above 0, at most 1.
        mirror: Average over all flips along the axes that were mirrored in training.
        mode: "normal" resamples probabilities and takes the labels then; "fast" resamples the labels.
        engine: What computes the networks: "torch"; "openvino", for CPUs; or "auto", OpenVINO on a CPU where it is
            installed and agrees with torch.

    Raises:
        ModelError: An argument is out of range, or the device or precision is not there.
    """

    def __init__(
        self,
        model: TrainedModel,
        *,
        device: torch.device | str | None = None,
        precision: str = "auto",
        step_size: float = STEP_SIZE,
        mirror: bool = True,
        mode: Mode = "normal",
        engine: Engine = "torch",
    ) -> None:
        if not 0 < step_size <= 1:
            raise ModelError(f"step size {step_size}: must be above 0 and at most 1; {STEP_SIZE} is usual")
        if mode not in MODES:
            raise ModelError(f"mode {mode!r}: unknown; use {' or '.join(MODES)}")
        self.model = model
        self.target = model.target
        self._activation = activation_of(model.target)
        self.device = device if isinstance(device, torch.device) else resolve_device(device)
        self.precision: Precision = resolve_precision(precision, self.device)
        self.step_size = step_size
        self.mirror = mirror
        self.mode = mode
        require_engine(engine, self.device)
        self._wanted_engine = engine
        self._at_once = tiles_at_once(self._most_at_once)

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        configuration: str | None = None,
        *,
        folds: Sequence[str] | None = None,
        checkpoint: Checkpoint = "final",
        build_network: BuildNetwork | None = None,
        device: torch.device | str | None = None,
        precision: str = "auto",
        step_size: float = STEP_SIZE,
        mirror: bool = True,
        mode: Mode = "normal",
        engine: Engine = "torch",
    ) -> Predictor:
        """A predictor of the model that lies in a folder; for the settings see the class.

        Args:
            folder: `results/<configuration>/<Task>/<Trainer>__<plans>`, which holds `plans.pkl` and `fold_0` ...
            configuration: "2d", "3d_fullres", ...; None tells it from the plans, where they hold one, or the folder's
                place in `results`.
            folds: "0" to "4" or "all", whose probabilities are averaged; None takes all that are trained.
            checkpoint: The "final" weights or the "best".
            build_network: `MyTrainer.build_network`, for a trainer with a network of its own.

        Raises:
            ModelError: Weights are missing, damaged or of another version; the configuration cannot be told; or a
                setting is out of range.
            PlanError: The plans are missing or of another version.
        """
        model = load_model(Path(folder), configuration, folds=folds, checkpoint=checkpoint, build_network=build_network)
        return cls(
            model,
            device=device,
            precision=precision,
            step_size=step_size,
            mirror=mirror,
            mode=mode,
            engine=engine,
        )

    def predict(
        self,
        data: Array,
        geometry: Geometry,
        *,
        previous: LabelArray | None = None,
        probabilities: bool = False,
    ) -> Prediction:
        """Predict an image held in memory; the model's postprocessing (`model.rules`) is not applied.

        Args:
            data: `(C, Z, Y, X)` of any number type, intensities as in the training images; one channel for each of the
                plans'. It is left as it is.
            geometry: The grid of `data`; the spacing, in mm and `(z, y, x)`, is all that prediction looks at.
            previous: `(Z, Y, X)` labels that the configuration before a cascade predicted for this image.
            probabilities: Also keep the probabilities of all classes (mode "normal" only).

        Raises:
            DatasetError: The axes or channels are not those of the plans, the image is empty or not finite, or `previous`
                does not fit it.
            ModelError: A cascade without `previous`, or another model with it.
        """
        image = np.asarray(data, dtype=np.float32)
        if image.ndim != IMAGE_AXES:
            raise DatasetError(
                f"case image: expected an array with the axes (C, Z, Y, X), found the shape {image.shape}; "
                "one channel is given as data[None], a single slice as data[None, None]"
            )
        raw = RawCase(identifier="image", data=image, segmentation=None, geometry=geometry)
        return self.predict_prepared(self.prepare(raw, previous), probabilities=probabilities)

    def prepare(self, raw: RawCase, previous: LabelArray | None = None) -> PreparedCase:
        """Bring a raw case, and what was predicted for it before, onto the model's grid; safe to call from several threads."""
        prepared = prepare_case(raw, self.model.plans, self.model.configuration)
        if previous is None:
            return prepared
        labels = prepare_previous(previous, prepared.properties, target=self.target)
        return replace(prepared, previous=labels)

    def predict_prepared(
        self, prepared: PreparedCase, *, probabilities: bool = False, on_tiles: OnTiles = lambda *_: None
    ) -> Prediction:
        """Predict a prepared case, and bring the result back to the grid of the original image."""
        if probabilities and self.mode == "fast":
            raise ModelError("probabilities: mode fast takes the labels before anything is resampled; use mode normal")
        properties, target = prepared.properties, self.target
        packer = Packer(properties, len(target.outputs)) if probabilities else None
        if self.mode == "fast":
            segmentation = export_fast(self.scores(prepared, on_tiles), properties, target)
        else:
            segmentation = export_segmentation(self.scores(prepared, on_tiles), properties, target, packer=packer)
        return Prediction(
            segmentation=segmentation,
            geometry=properties.geometry,
            probabilities=packer.finish() if packer else None,
        )

    def scores(self, prepared: PreparedCase, on_tiles: OnTiles = lambda *_: None) -> Iterator[Slab]:
        """The class probabilities of a prepared case on the network's grid, slab by slab.

        Raises:
            ModelError: The case has other channels than the network takes, lacks what a cascade is to refine, the
                network returned NaN, or the device's memory does not hold one tile.
        """
        self._require_fit(prepared)
        identifier = prepared.properties.identifier
        tiling = self._tiling(prepared)
        sums_on = self._device_of_sums(tiling)
        done = 0
        on_tiles(done, tiling.number)

        def count(tiles: int) -> None:
            nonlocal done
            done += tiles
            on_tiles(done, tiling.number)

        slabs = predict_slabs(
            lambda tiles: self._probabilities(tiles, is_usual=len(tiles) == tiling.batch_size).to(sums_on),
            prepared.data,
            tiling,
            labels=prepared.previous,
            on_tiles=count,
            on_room=self._at_once.restart,
        )
        try:
            for slab in slabs:
                if not torch.isfinite(slab.scores.sum()):
                    raise ModelError(
                        f"case {identifier}: the network returned NaN in {self.precision.name}; "
                        "try `precision=fp32`, and if that does not help train again"
                    )
                yield slab
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"case {identifier}: one tile of {tiling.patch} voxels alone does not fit into the memory of "
                f"{self.device}; free some, or predict with `device=cpu`"
            ) from error

    @property
    def engine(self) -> str:
        """What computes the networks, "torch" or "openvino"; they are started for the answer."""
        return self._networks.engine

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The SHA-256 of each fold's weights, by their values."""
        return tuple(weights_sha256(network.state_dict()) for network in self.model.networks)

    def _probabilities(self, tiles: torch.Tensor, *, is_usual: bool) -> torch.Tensor:
        """`(B, C, *patch)` to the mean of the probabilities over all folds and flips, `(B, K, *patch)` float32.

        Args:
            is_usual: The batch is as large as most; what is left over at an end comes in many sizes.
        """
        tiles = tiles.to(self.device)
        if self.model.plan.previous:
            tiles = expand_labels(tiles, self.target)
        networks = self._networks
        with trying_algorithms(is_usual and self.device.type == "cuda"):
            return mean_probabilities(
                networks.forwards, self._flips, tiles, self._at_once, self._activation, networks.ask
            )

    def _require_fit(self, prepared: PreparedCase) -> None:
        identifier, model = prepared.properties.identifier, self.model
        if len(prepared.data) != len(model.plans.channels):
            raise ModelError(
                f"case {identifier}: the network takes {counted(len(model.plans.channels), 'channel')}, "
                f"but the prepared case has {len(prepared.data)}; prepare it with this model's plans"
            )
        if model.plan.previous and prepared.previous is None:
            raise ModelError(
                f"case {identifier}: {model.configuration} refines what {model.plan.previous} predicted; "
                "give that segmentation too (previous=, or `lowres_segmentations` with a folder of them)"
            )
        if prepared.previous is not None and not model.plan.previous:
            raise ModelError(
                f"case {identifier}: {model.configuration} is no cascade and takes no segmentation of an earlier stage; "
                "leave it out (previous=, `lowres_segmentations`)"
            )

    @cached_property
    def _networks(self) -> Networks:
        model = self.model
        return start_networks(
            model.networks,
            (input_channels(model.plans, model.configuration), *model.plan.sampling.patch_size),
            engine=self._wanted_engine,
            precision=self.precision,
            device=self.device,
            activation=self._activation,
        )

    @cached_property
    def _flips(self) -> list[Flip]:
        return all_flips(self.model.mirror_axes if self.mirror else ())

    @property
    def _most_at_once(self) -> int:
        """Tiles, flipped ones counted, that the network is handed at once where memory allows."""
        voxels = BATCH_VOXELS.get(self.device.type, BATCH_VOXELS["cpu"])
        usual = int(max(1, voxels // np.prod(self.model.plan.sampling.patch_size)))
        if self.device.type != "cuda":
            return usual
        return tiles_on_gpu(
            usual, tile_bytes(self.model.plan, len(self.target.outputs)), free_device_memory(self.device)
        )

    def _tiling(self, prepared: PreparedCase) -> Tiling:
        """The case's tiles, in batches that memory holds."""
        tiling = Tiling(
            shape=prepared.data.shape[1:], patch_size=self.model.plan.sampling.patch_size, step=self.step_size
        )
        if self.device.type == "cpu":
            self._fit_batch(tiling, prepared.properties.identifier)
        return replace(tiling, batch_size=max(1, self._at_once.number // len(self._flips)))

    def _fit_batch(self, tiling: Tiling, identifier: str) -> None:
        """Estimate main memory before it is taken: a GPU says when it is full, but here the process would be killed.

        Each case anew: what was short for one may be there again for the next.
        """
        classes = len(self.target.outputs)
        each, sums = tile_bytes(self.model.plan, classes), BYTES_PER_VALUE * (classes + 1) * tiling.held_voxels
        free = int(SHARE_OF_MEMORY * available_memory())
        if sums + each > free:
            say_once(
                "memory",
                f"case {identifier}: predicting it takes about {in_gigabytes(sums + each)}, and {in_gigabytes(free)} "
                "are free; where that does not do, end other programs or use `preprocessing_threads=1` "
                "(of other such cases this is not said)",
            )
        self._at_once.number = fitting_batch(self._most_at_once, each, free - sums)

    def _device_of_sums(self, tiling: Tiling) -> torch.device:
        """Where tiles are summed up: on the GPU when what is held at once fits there."""
        if self.device.type != "cuda":
            return torch.device("cpu")
        needed = BYTES_PER_VALUE * (len(self.target.outputs) + 1) * tiling.held_voxels
        fits = needed < SHARE_OF_DEVICE_MEMORY * free_device_memory(self.device)
        return self.device if fits else torch.device("cpu")
