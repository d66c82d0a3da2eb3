"""The model card: what the models of an archive were made from, for what, how well they did, in words and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import autoseg
from autoseg.command_words import NAMING_TRAINER_FILE, PREDICTING_BY_SELECTION, predicting_command, selected_command
from autoseg.dataset.target import StoredTarget, in_words, restored_target
from autoseg.errors import DatasetError, ModelError
from autoseg.files.layout import CARD_FILE
from autoseg.files.model_folder import ModelFolder, ModelKey
from autoseg.files.records import RecordFormat, decode_record, write_record
from autoseg.files.storage import LATER, read_json
from autoseg.geometry import reorder
from autoseg.plans import Plans
from autoseg.sharing.models import LabelDice, dice_by_label, load_cross_validation
from autoseg.words import counted, in_millimetres

FORMAT = RecordFormat(number=1, what="a model card", error=ModelError)
MORE_SCORES = {
    "soft_dice": "soft Dice",
    "absolute_error": "mean absolute error",
    "between_raters": "Dice between raters",
}
"""Of `LabelDice`, shown where there are any."""

NOT_STATED = "not stated"
LONGEST_TEXT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutData:
    """What dataset.json says of the data, in its author's words; empty where it says nothing."""

    name: str = ""
    description: str = ""
    licence: str = ""
    reference: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of the archive.

    Attributes:
        folds: Whose weights are in the archive.
        epochs: Trained by each of these folds.
        custom_network: Whether the trainer builds a network of its own, so that predicting needs its Python file.
        previous: The configuration whose predictions it takes as input (cascade), else None.
        own_code: Functions of the user's own that scale its channels, which predicting needs, too.
        spacing: Target voxel size in mm, (z, y, x) of the image.
        patch_size: Voxels the network sees at once, in the plan's axis order.
        scored_folds: Folds of the archive with a cross-validation.
        dice: Over the validation cases of these folds; of several views each counts alike.
        fused: By label, the mean Dice of these views as they are fused, on cases that this was not fitted to; empty where
            they are not fused.
    """

    configuration: str
    trainer: str
    plans: str
    folds: tuple[str, ...]
    epochs: tuple[int, ...]
    custom_network: bool
    previous: str | None
    spacing: tuple[float, float, float]
    patch_size: tuple[int, ...]
    scored_folds: tuple[str, ...]
    dice: tuple[LabelDice, ...]
    own_code: tuple[str, ...] = field(default=(), metadata=LATER)
    fused: Mapping[str, float | None] = field(default_factory=dict, metadata=LATER)

    def key(self, task: str) -> ModelKey:
        """Which model of a task it is."""
        return ModelKey(task=task, configuration=self.configuration, trainer=self.trainer, plans=self.plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is in an archive.

    Attributes:
        autoseg, torch: Versions the archive was written with.
        training_cases: None where there is no fingerprint.
        selection: Whether it holds the choice of the best configuration.
        target_kind: What is predicted beside the names in `labels`; None where these say all.
    """

    autoseg: str
    torch: str
    task: str
    about: AboutData
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    training_cases: int | None
    selection: bool
    models: tuple[ModelEntry, ...]
    target_kind: StoredTarget | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.models or any(len(model.folds) != len(model.epochs) for model in self.models):
            raise ModelError(f"{CARD_FILE}: it must name at least one model, and the epochs of each of its folds")
        if self.target_kind is not None:
            self._require_target()

    def _require_target(self) -> None:
        try:
            restored_target(self.labels, self.target_kind)
        except DatasetError as error:
            raise ModelError(f"{CARD_FILE}: target_kind: {error}") from error

    @property
    def outputs(self) -> tuple[str, str]:
        """What is predicted, in words: what it is, and the numbers and names of all of it."""
        if self.target_kind is None:
            return "Labels", _numbered(self.labels)
        return in_words(restored_target(self.labels, self.target_kind))


def make_card(
    plans: Plans,
    about: AboutData,
    models: Sequence[ModelEntry],
    *,
    training_cases: int | None,
    selection: bool,
) -> ModelCard:
    """The card of models of one task, all planned on the labels and channels of `plans`."""
    return ModelCard(
        autoseg=autoseg.__version__,
        torch=metadata.version("torch"),
        task=plans.dataset,
        about=about,
        channels=plans.channels,
        labels=plans.labels,
        target_kind=plans.target_kind,
        training_cases=training_cases,
        selection=selection,
        models=tuple(models),
    )


def make_entry(model: ModelFolder, plans: Plans, folds: Sequence[str], *, checkpoint: str = "final") -> ModelEntry:
    """Describe one model by its plans, its weights and its scores.

    Raises:
        AutosegError: A file of it is damaged.
    """
    from autoseg.inference.model import load_weights

    weights = [load_weights(model.fold(fold).weights(checkpoint)) for fold in folds]
    scored, summary = load_cross_validation(model, folds)
    plan = plans.configuration(model.key.configuration)
    z, y, x = reorder(plan.grid.spacing, plans.transpose_backward)
    return ModelEntry(
        configuration=model.key.configuration,
        trainer=model.key.trainer,
        plans=model.key.plans,
        folds=tuple(folds),
        epochs=tuple(file.epoch for file in weights),
        custom_network=any(file.custom_network for file in weights),
        previous=plan.previous,
        spacing=(z, y, x),
        patch_size=plan.sampling.patch_size,
        scored_folds=scored,
        dice=dice_by_label(summary, plans.target.labels),
        own_code=tuple(Path(rule.name).name for rule in plan.intensities if rule.normalisation.is_own),
        fused=_fused_dice(model),
    )


def _fused_dice(model: ModelFolder) -> dict[str, float | None]:
    from autoseg.inference.fusion_record import FUSED, is_in_force, load_fusion
    from autoseg.inference.model import networks_of

    record = load_fusion(model.fusion) if model.fusion.is_file() else None
    if record is None or not is_in_force(record, model.fusion, networks_of(model, record.networks)):
        return {}
    return dict(zip(record.outputs, record.dice[FUSED], strict=True))


def about_data(description: Mapping[str, Any]) -> AboutData:
    """What a parsed dataset.json says of the data; `license` counts as `licence`."""

    def text(*keys: str) -> str:
        return next((str(description[key])[:LONGEST_TEXT] for key in keys if description.get(key)), "")

    return AboutData(
        name=text("name"),
        description=text("description"),
        licence=text("licence", "license"),
        reference=text("reference"),
        release=text("release"),
    )


def save_card(card: ModelCard, path: Path) -> None:
    """Write it as data."""
    write_record(path, card, FORMAT)


def load_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        ModelError: Its format is another.
        StorageError: Naming the field that does not fit.
    """
    return decode_record(read_json(path), ModelCard, FORMAT, path, where=CARD_FILE)


def card_text(card: ModelCard) -> str:
    """The card as Markdown; control characters, which could steer a terminal, are taken out."""
    about, (what, outputs) = card.about, card.outputs
    facts = {
        "Data": about.name or card.task,
        "Description": about.description or NOT_STATED,
        "Licence of the data": about.licence or NOT_STATED,
        "Reference": about.reference or NOT_STATED,
        "Release": about.release or NOT_STATED,
        "Training cases": NOT_STATED if card.training_cases is None else str(card.training_cases),
        "Channels": _numbered(card.channels),
        what: outputs,
        "Best configuration chosen": f"yes ({PREDICTING_BY_SELECTION})" if card.selection else "no",
        "Written by": f"autoseg {card.autoseg}, torch {card.torch}",
    }
    lines = [f"# {card.task}", "", *(f"- {name}: {value}" for name, value in facts.items())]
    for model in card.models:
        lines += ["", *_model_lines(model)]
    first = card.models[0]
    key = ModelKey(task=card.task, configuration=first.configuration, trainer=first.trainer, plans=first.plans)
    chosen = (selected_command(card.task),) if card.selection else ()
    lines += ["", "## Use", "", *(f"    {command}" for command in (*chosen, predicting_command(key)))]
    return "\n".join(_printable(line) for line in lines) + "\n"


def _model_lines(model: ModelEntry) -> list[str]:
    folds = ", ".join(
        f"{fold} ({counted(epochs, 'epoch')})" for fold, epochs in zip(model.folds, model.epochs, strict=False)
    )
    lines = [
        f"## {model.configuration}",
        "",
        f"- Trained by: {model.trainer}, plans {model.plans}",
        f"- Folds: {folds}",
        f"- Voxel size: {in_millimetres(model.spacing)} (z, y, x)",
        f"- Patch: {'x'.join(map(str, model.patch_size))} voxels",
    ]
    if model.custom_network:
        lines.append(f"- Needs the file of its trainer to predict: {NAMING_TRAINER_FILE.format(name=model.trainer)}")
    lines += [f"- Scales a channel by code that is not in the archive: {name}" for name in model.own_code]
    if model.previous:
        lines.append(f"- Takes the predictions of {model.previous} as input")
    return [*lines, "", *_score_lines(model)]


def _score_lines(model: ModelEntry) -> list[str]:
    if not model.dice:
        return ["No cross-validated scores."]
    title = f"Cross-validated Dice, {counted(len(model.scored_folds), 'fold')} ({', '.join(model.scored_folds)}):"
    columns = [name for name in MORE_SCORES if any(getattr(entry, name) is not None for entry in model.dice)]
    rows = [
        f"| {entry.label} {entry.name} | {_score(entry.mean)} | {_score(entry.std)} | {entry.number} |"
        + "".join(f" {_score(getattr(entry, name))} |" for name in columns)
        for entry in model.dice
    ]
    head = "| label | mean | std | cases |" + "".join(f" {MORE_SCORES[name]} |" for name in columns)
    fused = ", ".join(f"{name} {_score(dice)}" for name, dice in model.fused.items())
    said = (
        ["", f"It predicts with its views fused; their Dice on cases that this was not fitted to: {fused}."]
        if fused
        else []
    )
    return [title, "", head, "|---" * (4 + len(columns)) + "|", *rows, *said]


def _numbered(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line)
