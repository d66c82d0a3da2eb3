"""Weights files, and a trained model as it is loaded from its folder for prediction.

A model's folder, `results/<configuration>/<Task>/<Trainer>__<plans>`, holds `plans.pkl`, a folder for each fold
(`fold_0` ..., or `all`) with `weights_final.pt` and `weights_best.pt`, and `postprocessing.json` once one is chosen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

import autoseg
from autoseg.catalogue import Part
from autoseg.command_words import training_command
from autoseg.dataset.declared_target import declaration
from autoseg.dataset.target import Target
from autoseg.errors import ExtensionError, ModelError, StorageError
from autoseg.files.layout import ALL, DEFAULT_TRAINER, PLANS_FILE, weights_name
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey, parse_model
from autoseg.files.records import RecordFormat, decode_record
from autoseg.files.storage import encode, read_json
from autoseg.inference.fusion import Fusion
from autoseg.inference.fusion_record import load_used_fusion
from autoseg.networks.build import PLANNED, RECIPE_NETWORKS, build_named_network
from autoseg.networks.tensors import read_tensors, save_tensors
from autoseg.plans import ConfigurationPlan, Plans, load_plans, plan_signature
from autoseg.postprocessing.rules import Rule, load_rules, target_of_rules
from autoseg.versions import remedy_by_version

FORMAT = RecordFormat(
    number=1,
    what="weights",
    error=ModelError,
    another="install a matching version or train again",
    completed=lambda content: {"network": encode(PLANNED), **content},
)

Checkpoint: TypeAlias = Literal["final", "best"]
BuildNetwork: TypeAlias = Callable[[ConfigurationPlan, int, int], nn.Module]
"""`(plan, input channels, classes)` to a network, weights not yet loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """What one fold's training leaves for prediction.

    Attributes:
        trainer: Class or recipe that trained.
        custom_network: Whether it is a network of the user's or of a library's, which a file cannot hold.
        network: Otherwise the recipe's name and settings of it.
        mirror_axes: Axes of the patch that were mirrored in training, so that prediction may mirror them too.
        epoch: Epochs trained.
        weights: The network's state, by name.
    """

    trainer: str
    custom_network: bool
    mirror_axes: tuple[int, ...]
    epoch: int
    weights: dict[str, torch.Tensor]
    network: Part = PLANNED


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Everything prediction needs.

    Attributes:
        networks: One for each fold, in evaluation mode, returning scores at full resolution only.
        mirror_axes: Axes of the patch that prediction may mirror.
        folds: The folds the networks come from, "0" to "4" or "all".
        rules: Postprocessing chosen for this model, to be applied to finished segmentations.
        checkpoint: Which weights were loaded, "final" or "best".
        trainer: Class that trained.
        fusion: How much each of its views has to say; None: all alike.
    """

    plans: Plans
    configuration: str
    networks: tuple[nn.Module, ...]
    mirror_axes: tuple[int, ...]
    folds: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    checkpoint: str = "final"
    trainer: str = "Trainer"
    fusion: Fusion | None = None

    @property
    def plan(self) -> ConfigurationPlan:
        """The plan of the configuration."""
        return self.plans.configuration(self.configuration)

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.plans.target


def load_model(
    folder: Path,
    configuration: str | None = None,
    *,
    folds: Sequence[str] | None = None,
    checkpoint: Checkpoint = "final",
    build_network: BuildNetwork | None = None,
) -> TrainedModel:
    """Load a trained model from its folder.

    Args:
        configuration: Which of the plans' it was trained for; None takes the only one, or the one that the folder lies
            under.
        folds: "0" to "4" or "all"; None takes every `fold_*` that holds the checkpoint, or `all` where only that does.
        build_network: For a trainer with a network of its own: the trainer's way to build it.

    Raises:
        ModelError: Weights are missing (the command that trains them is named), damaged, of another version or network;
            or the configuration is not given and cannot be told.
        PlanError: The model's plans are missing or of another version.
    """
    plans = load_plans(folder / PLANS_FILE)
    configuration = configuration or _told_configuration(folder, plans)
    plan = plans.configuration(configuration)
    model = ModelFolder(key=_key(folder, configuration, plans), folder=folder)
    chosen = _existing_folds(model, checkpoint) if folds is None else tuple(folds)
    trained = [model.fold(fold) for fold in chosen]
    paths = [fold.weights(checkpoint) for fold in trained]
    _require_weights(model, dict(zip(chosen, paths, strict=True)))
    files = [load_weights(path) for path in paths]
    _require_agreement(paths, files)
    _require_axes(paths[0], files[0], plan)
    _require_builder(paths[0], files[0], build_network)
    loaded = tuple(
        fill_network(
            (build_network or _builder(path, file))(
                plan, input_channels(plans, configuration), len(plans.target.outputs)
            ),
            file,
            path,
        )
        for file, path in zip(files, paths, strict=True)
    )
    _require_own_plans(model, trained, files, checkpoint, plan_signature(plans, configuration))

    def networks_of_folds() -> dict[str, str]:
        """Of the final ones, whose views fusions are fitted to."""
        return _hashes(dict(zip(chosen, files, strict=True))) if checkpoint == "final" else {}

    return TrainedModel(
        plans=plans,
        configuration=configuration,
        networks=loaded,
        mirror_axes=files[0].mirror_axes,
        folds=chosen,
        rules=_rules(model.postprocessing, plans),
        checkpoint=checkpoint,
        trainer=files[0].trainer,
        fusion=None
        if plan.sampling.views is None
        else load_used_fusion(model.fusion, plan.sampling.views, plans.target, networks_of_folds),
    )


def input_channels(plans: Plans, configuration: str) -> int:
    """Channels a network sees: the image's, and for a cascade one for each label above background."""
    previous = plans.configuration(configuration).previous
    return len(plans.channels) + (len(plans.target.scored) if previous else 0)


def save_weights(path: Path, file: WeightsFile) -> None:
    """Write a weights file of tensors and plain values, in one step."""
    content = {
        "format": FORMAT.number,
        "version": autoseg.__version__,
        "trainer": file.trainer,
        "custom_network": file.custom_network,
        "mirror_axes": list(file.mirror_axes),
        "epoch": file.epoch,
        "network": encode(file.network),
        "weights": {name: tensor.detach().cpu() for name, tensor in file.weights.items()},
    }
    save_tensors(path, content)


def load_weights(path: Path) -> WeightsFile:
    """Read a weights file onto the CPU; nothing in it can run code.

    Raises:
        ModelError: It is not there, damaged, holds more than tensors and plain values, or has another format.
    """
    content = _read(path)
    try:
        return decode_record(content, WeightsFile, FORMAT, path)
    except StorageError as error:
        raise ModelError(f"{error}; {remedy_by_version(content, 'get the file again or train again')}") from error


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the weights' values, whatever file holds them.

    Of each tensor, ordered by name, a line of JSON with its name, dtype and shape, then its bytes in C order.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        line = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        digest.update(json.dumps(line).encode() + b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def networks_of(model: ModelFolder, folds: Iterable[str]) -> dict[str, str]:
    """Of the folds that are trained the SHA-256 of their final weights.

    Raises:
        ModelError: Weights are damaged.
    """
    paths = {fold: model.fold(fold).weights() for fold in folds}
    return _hashes({fold: load_weights(path) for fold, path in paths.items() if path.is_file()})


def _hashes(files: Mapping[str, WeightsFile]) -> dict[str, str]:
    return {fold: weights_sha256(file.weights) for fold, file in files.items()}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no weights here; train this fold with autoseg_train first")
    try:
        return read_tensors(path)
    except StorageError as error:
        raise ModelError(f"{error}. Do not trust this file; get it again or train again.") from error


def _told_configuration(folder: Path, plans: Plans) -> str:
    """All configurations of a planner share one file, so of several the place in `results` tells the model's."""
    if len(plans.configurations) == 1:
        (configuration,) = plans.configurations
        return configuration
    model = parse_model(folder.resolve())
    if model is not None and model.key.configuration in plans.configurations:
        return model.key.configuration
    raise ModelError(
        f"{folder}: its plans are for {', '.join(plans.configurations)}, and it does not lie in "
        "results/<configuration>/<Task>, which would tell which of them was trained here; give the configuration"
    )


def _key(folder: Path, configuration: str, plans: Plans) -> ModelKey:
    """The model's folder is named after its trainer's class."""
    named = parse_model(folder)
    trainer = DEFAULT_TRAINER if named is None else named.key.trainer
    return ModelKey(task=plans.dataset, configuration=configuration, trainer=trainer, plans=plans.identifier)


def _existing_folds(model: ModelFolder, checkpoint: Checkpoint) -> tuple[str, ...]:
    found = model.folds(checkpoint)
    if not found:
        raise ModelError(
            f"{model.folder}: no fold here has {weights_name(checkpoint)}; "
            f"train it with: {training_command(model.key, '0')}"
        )
    return tuple(fold for fold in found if fold != ALL) or found


def _require_weights(model: ModelFolder, paths: Mapping[str, Path]) -> None:
    if missing := [fold for fold, path in paths.items() if not path.is_file()]:
        commands = "; ".join(training_command(model.key, fold) for fold in missing)
        raise ModelError(
            f"{paths[missing[0]]}: no weights of fold {', '.join(missing)} here; train it with: {commands}"
        )


def _require_agreement(paths: Sequence[Path], files: Sequence[WeightsFile]) -> None:
    """Folds that are averaged must come from one kind of training."""
    first = files[0]
    for path, file in zip(paths, files, strict=True):
        if (file.trainer, file.mirror_axes) != (first.trainer, first.mirror_axes):
            raise ModelError(
                f"{path}: trained by {file.trainer} with mirrored axes {file.mirror_axes}, but {paths[0]} by "
                f"{first.trainer} with {first.mirror_axes}; predict with folds of one training only (`folds`)"
            )


def _require_axes(path: Path, file: WeightsFile, plan: ConfigurationPlan) -> None:
    if not set(file.mirror_axes) <= set(range(len(plan.sampling.patch_size))):
        raise ModelError(
            f"{path}: mirrors the axes {file.mirror_axes}, but a patch of {plan.name} has {len(plan.sampling.patch_size)}; "
            "get the file again or train again"
        )


def trained_plan(fold: FoldFolder, weights: Mapping[str, torch.Tensor] | None = None) -> str | None:
    """The signature of the plans that a fold was or is being trained with; None where no record tells.

    Args:
        weights: Final ones; what is recorded of others than these tells nothing.

    Raises:
        StorageError: The record is damaged.
    """
    path = fold.record
    try:
        content = read_json(path) if path.is_file() else None
    except StorageError as error:
        raise StorageError(f"{error}; delete it there, it is only a record") from error
    record = content if isinstance(content, dict) else {}
    signature, trained = record.get("plan"), record.get("weights_sha256")
    if weights is not None and trained is not None and trained != weights_sha256(weights):
        return None
    return signature if isinstance(signature, str) else None


def _require_own_plans(
    model: ModelFolder,
    folds: Sequence[FoldFolder],
    files: Sequence[WeightsFile],
    checkpoint: Checkpoint,
    signature: str,
) -> None:
    """Refuse folds that were trained with other plans than those beside them; of installed folds nothing is known."""
    others = [
        fold.folder.name
        for fold, file in zip(folds, files, strict=True)
        if trained_plan(fold) not in (None, signature)
        if trained_plan(fold, file.weights if checkpoint == "final" else None) is not None
    ]
    if others:
        raise ModelError(
            f"{model.plans_file}: {', '.join(others)} trained with other plans than these, so the "
            "images would be prepared otherwise than the weights expect; predict with other folds (`folds`), or train anew "
            "with `overwrite=True`"
        )


def _rules(path: Path, plans: Plans) -> tuple[Rule, ...]:
    if not path.is_file():
        return ()
    rules, said, target = load_rules(path), target_of_rules(path), plans.target
    if said is not None and declaration(said) != declaration(target):
        raise ModelError(
            f"{path}: its rules are of {', '.join(said.outputs)}, but the model predicts {', '.join(target.outputs)}, or "
            "tells them otherwise; choose the postprocessing again or put the file right"
        )
    if unknown := sorted({label for rule in rules for label in rule.labels} - set(target.scored)):
        raise ModelError(
            f"{path}: a rule names label {unknown[0]}, but the model's labels are 1 to {target.scored[-1]}; "
            "choose the postprocessing again or put the file right"
        )
    return rules


def _require_builder(path: Path, file: WeightsFile, build_network: BuildNetwork | None) -> None:
    if file.custom_network and build_network is None:
        raise ModelError(
            f"{path}: {file.trainer} built a network of its own, which the file does not hold; "
            f"name the trainer's file: `trainer=path/to/file.py:{file.trainer}` or path/to/{file.trainer}.json "
            f"(in Python: build_network={file.trainer}.build_network)"
        )


def _builder(path: Path, file: WeightsFile) -> BuildNetwork:
    """Of a network of ours; a file of weights makes nothing else run."""
    if file.network.name not in RECIPE_NETWORKS.entries:
        raise ModelError(f"{path}: no network of ours is called {file.network.name!r:.60}; get the file again")
    try:
        return partial(build_named_network, RECIPE_NETWORKS.completed(file.network))
    except (ExtensionError, StorageError) as error:
        raise ModelError(f"{path}: {error}; get the file again or train again") from error


def fill_network(network: Any, file: WeightsFile, path: Path) -> nn.Module:
    """The network with a file's weights, its scores at full resolution only.

    Raises:
        ModelError: The weights are of another network, or not finite.
    """
    try:
        network.load_state_dict(file.weights)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: these weights are of another network than the plans describe; "
            f"the plans or the trainer were changed after training\n{error}"
        ) from error
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"{path}: {name} holds NaN or infinite weights; get the file again or train again")
    if hasattr(network, "deep_supervision"):
        network.deep_supervision = False
    filled: nn.Module = network.eval()
    return filled
