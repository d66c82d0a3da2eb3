"""One case through a trained model: prepared, scored by all its members, restored to the grid it came on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.arrays import Array, LabelArray
from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError, ModelError
from autoseg.geometry import Geometry
from autoseg.inference.engines import require_engine, start_networks, start_networks_with_dropout
from autoseg.inference.export import export_fast, export_segmentation
from autoseg.inference.members import Members, Networks, all_flips
from autoseg.inference.memory import tile_bytes
from autoseg.inference.model import (
    BuildNetwork,
    Checkpoint,
    TrainedModel,
    input_channels,
    load_model,
    weights_sha256,
)
from autoseg.inference.probabilities import PackedProbabilities, Packer
from autoseg.inference.reduction import MEAN, Reduction
from autoseg.inference.scorers.scorer import AnyCase, OnParts, Scorer, Slab
from autoseg.inference.scorers.sweeps import Sweeps
from autoseg.inference.scorers.tiles import Tiles
from autoseg.inference.settings import DEFAULT_COMPUTATION, Computation
from autoseg.machine.disk_arrays import let_go, zeros_on_disk
from autoseg.networks import Precision, resolve_device, resolve_precision
from autoseg.networks.activations import activation_of
from autoseg.preprocessing.prepare import PreparedCase, prepare_case
from autoseg.preprocessing.previous import prepare_previous
from autoseg.preprocessing.slabs import CaseInSlabs, SurveyedCase, prepare_slabs, why_held
from autoseg.words import counted

IMAGE_AXES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was predicted for one case.

    Attributes:
        segmentation: `(Z, Y, X)` on the original grid, uint8, or uint16 where there are more than 255 labels; of masks
            that may overlap `(outputs, Z, Y, X)`; of soft labels fractions, in steps of `written_step(target)`.
        geometry: The input's.
        target: What is predicted.
        probabilities: Of every class, packed; None where they were not asked for.
    """

    segmentation: LabelArray
    geometry: Geometry
    target: Target
    probabilities: PackedProbabilities | None = None


class Predictor:
    """Predicts cases with one trained model.

    Args:
        computation: How; by default on the best device there is.
        reduction: What becomes of the answers of folds and flips.

    Raises:
        ModelError: The device, precision or engine is not there.
    """

    def __init__(
        self, model: TrainedModel, computation: Computation = DEFAULT_COMPUTATION, *, reduction: Reduction = MEAN
    ) -> None:
        device = computation.device
        self.model = model
        self.target = model.target
        self.computation = computation
        self.reduction = reduction
        self.device = device if isinstance(device, torch.device) else resolve_device(device)
        self.precision: Precision = resolve_precision(computation.precision, self.device)
        require_engine(computation.engine, self.device)

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        configuration: str | None = None,
        *,
        folds: Sequence[str] | None = None,
        checkpoint: Checkpoint = "final",
        build_network: BuildNetwork | None = None,
        **computation: Any,
    ) -> Predictor:
        """A predictor of the model that lies in a folder.

        Args:
            folder: `results/<configuration>/<Task>/<Trainer>__<plans>`, which holds `plans.pkl` and `fold_0` ...
            configuration: "2d", "3d_fullres", ...; None tells it from the plans, where they hold one, or the folder's
                place in `results`.
            folds: "0" to "4" or "all", whose probabilities are averaged; None takes all that are trained.
            checkpoint: The "final" weights or the "best".
            build_network: `MyTrainer.build_network`, for a trainer with a network of its own.
            computation: What `Computation` holds, each by its name, such as `device="cpu"`.

        Raises:
            ModelError: Weights are missing, damaged or of another version; the configuration cannot be told; or a
                setting is out of range.
            PlanError: The plans are missing or of another version.
        """
        model = load_model(Path(folder), configuration, folds=folds, checkpoint=checkpoint, build_network=build_network)
        return cls(model, Computation(**computation))

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
            previous: What the configuration before a cascade predicted for this image, `Prediction.segmentation`.
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

    def prepare_slabs(self, case: SurveyedCase, workplace: Path | None = None) -> CaseInSlabs:
        """The same of a case that is too large to be held, where `why_held` names nothing."""
        return prepare_slabs(case, self.model.plans, self.model.configuration, workplace)

    def why_held(self, geometry: Geometry) -> str:
        """Why cases on such a grid can only be predicted from an image held in memory; empty where nothing is in the way."""
        if self.computation.mode == "fast":
            return "mode fast takes labels that are resampled all together"
        return why_held(self.model.plans, self.model.configuration, geometry)

    def predict_prepared(
        self, prepared: AnyCase, *, probabilities: bool = False, on_parts: OnParts = lambda *_: None
    ) -> Prediction:
        """Predict a prepared case, and bring the result back to the grid of the original image."""
        return self._restored(self.scores(prepared, on_parts), prepared, probabilities=probabilities)

    def predict_views(self, prepared: AnyCase, *, on_parts: OnParts = lambda *_: None) -> Iterator[Prediction]:
        """What a model of several directions says of a prepared case along each of them alone, as `along` predicts it, and
        last along all together; each with probabilities. The network is asked no more often than for the last.

        Raises:
            ModelError: The model looks along no directions; or as `scores`.
        """
        self._require_fit(prepared)
        if not isinstance(self._scorer, Sweeps):
            raise ModelError(f"{self.model.configuration} looks along no directions that could be predicted alone")
        for slabs in self._scorer.scores_of_each(prepared, on_parts):
            yield self._restored(slabs, prepared, probabilities=True)

    def along(self, number: int) -> Predictor:
        """The predictor that looks along one of the model's directions only, and knows nothing of the others."""
        model = self.model
        configurations = {**model.plans.configurations, model.configuration: model.plan.along(number)}
        alone = replace(model, plans=replace(model.plans, configurations=configurations), fusion=None, rules=())
        predictor = Predictor(alone, self.computation, reduction=self.reduction)
        predictor.weights = self.weights  # of the same networks, which takes long to tell of large ones
        return predictor

    def _restored(self, slabs: Iterator[Slab], prepared: AnyCase, *, probabilities: bool) -> Prediction:
        is_fast = self.computation.mode == "fast"
        if probabilities and is_fast:
            raise ModelError("probabilities: mode fast takes the labels before anything is resampled; use mode normal")
        properties, target = prepared.properties, self.target
        packer = Packer(properties, target) if probabilities else None
        if is_fast:
            segmentation = export_fast(slabs, properties, target)
        else:
            into = None
            if isinstance(prepared, CaseInSlabs):
                into = zeros_on_disk(
                    target.shape_of(properties.original_shape), target.written_type, prepared.workplace
                )
                slabs = _letting_go(slabs, into)
            segmentation = export_segmentation(slabs, properties, target, packer=packer, into=into)
        return Prediction(
            segmentation=segmentation,
            geometry=properties.geometry,
            target=target,
            probabilities=packer.finish() if packer else None,
        )

    def scores(self, prepared: AnyCase, on_parts: OnParts = lambda *_: None) -> Iterator[Slab]:
        """What the reduction makes of all answers, on the network's grid, slab by slab; by default class probabilities.

        Raises:
            ModelError: The case has other channels than the network takes, lacks what a cascade is to refine, the
                network returned NaN, or the device's memory does not hold one tile.
        """
        self._require_fit(prepared)
        yield from self._scorer.scores(prepared, on_parts)

    @property
    def engine(self) -> str:
        """What computes the networks, "torch" or "openvino"; they are started for the answer."""
        return self._networks.engine

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes of the patch along which answers are averaged over flips."""
        return self.model.mirror_axes if self.computation.mirror else ()

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The SHA-256 of each fold's weights, by their values."""
        return tuple(weights_sha256(network.state_dict()) for network in self.model.networks)

    def _require_fit(self, prepared: AnyCase) -> None:
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
        model, samples = self.model, self.computation.dropout_samples
        if samples:
            return start_networks_with_dropout(
                model.networks, precision=self.precision, device=self.device, samples=samples
            )
        return start_networks(
            model.networks,
            (input_channels(model.plans, model.configuration), *model.plan.sampling.patch_size),
            engine=self.computation.engine,
            precision=self.precision,
            device=self.device,
            activation=activation_of(self.target),
        )

    @cached_property
    def _scorer(self) -> Scorer:
        model = self.model
        members = Members(
            networks=self._networks,
            flips=all_flips(self.mirror_axes),
            target=self.target,
            refines=model.plan.previous is not None,
            reduction=self.reduction,
        )
        tile = tile_bytes(
            model.networks[0],
            model.plan,
            in_channels=input_channels(model.plans, model.configuration),
            channels=members.channels,
        )
        tiles = Tiles(members, model.plan, tile=tile, step=self.computation.step_size, halo=self.computation.halo)
        views = model.plan.sampling.views
        return tiles if views is None else Sweeps(tiles, views, model.fusion)


def _letting_go(slabs: Iterator[Slab], written: LabelArray) -> Iterator[Slab]:
    """Slabs, each after the memory was given back that what is written of the last one takes."""
    for slab in slabs:
        yield slab
        let_go(written)
