"""Where the second input of a cascade comes from: for every case, the prediction of a fold that never saw it.

Only such predictions are as good, or as bad, as those the cascade will get for new images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoseg.command_words import training_command
from autoseg.dataset.folds import Split
from autoseg.dataset.target import Target
from autoseg.errors import TrainingError
from autoseg.files.layout import ALL
from autoseg.files.model_folder import ModelFolder
from autoseg.inference.record import predicted_with
from autoseg.outputs import label_files
from autoseg.preprocessing.previous import PreviousMaps, gather_previous
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.fold.run_record import trained_cases
from autoseg.words import counted, first_few


class Gathered(NamedTuple):
    """Predictions on the cascade's grid, and a hash that stands for all of them; neither where there is no cascade."""

    maps: PreviousMaps | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousStage:
    """What the configuration before a cascade predicted.

    Attributes:
        predictions: For each case its segmentation on the original grid, `<case>.nii.gz`, as `find_predictions` gives them.
        maps: Where they are kept once they are on the cascade's grid; the folds of a cascade share them.
    """

    predictions: Mapping[str, Path]
    maps: PreviousMaps

    def gather(self, identifiers: Sequence[str], cases: PreparedCases, *, target: Target) -> Gathered:
        """Bring the predictions of some cases onto the cascade's grid, as far as they are not there already.

        Raises:
            TrainingError: There is no prediction of a case.
            CasesFailed: Naming those that cannot be read or do not lie on their image's grid.
        """
        if missing := sorted(set(identifiers) - self.predictions.keys()):
            raise TrainingError(
                f"no prediction by the previous stage is given for {first_few(missing)}; give one for every case"
            )
        chosen = {identifier: self.predictions[identifier] for identifier in identifiers}
        return Gathered(maps=self.maps, signature=gather_previous(chosen, cases, self.maps, target=target))


def find_predictions(
    model: ModelFolder, splits: Sequence[Split], identifiers: Sequence[str], target: Target
) -> Mapping[str, Path]:
    """For each case the prediction of the fold in which it was a validation case, by the weights that are there.

    Args:
        splits: Of all folds.
        target: What the model predicts; of masks, all files of a case must be there.

    Returns:
        `<case>.nii.gz` for each, whatever its files.

    Raises:
        TrainingError: Naming what is missing and the commands that make it; or a fold was trained on other cases
            than its split now says.
    """
    trained = [model.fold(str(number)) for number in range(len(splits))]
    current = [predicted_with(fold.validated_cases(), fold.weights()) for fold in trained]
    found: dict[str, Path] = {}
    missing: dict[int, list[str]] = {}
    homeless = []
    needed = sorted(set(identifiers))
    for identifier in needed:
        folds = [number for number, split in enumerate(splits) if identifier in split.validation]
        paths = {number: trained[number].validation() / f"{identifier}.nii.gz" for number in folds}
        made = [number for number in folds if set(current[number]).issuperset(label_files(paths[number], target))]
        if made:
            found[identifier] = paths[made[0]]
        elif folds:
            missing.setdefault(folds[0], []).append(identifier)
        else:
            homeless.append(identifier)
    if missing or homeless:
        raise TrainingError(_what_is_missing(model, missing, homeless, len(needed)))
    _require_left_out(model, found)
    return found


def _what_is_missing(
    model: ModelFolder, missing: Mapping[int, Sequence[str]], homeless: Sequence[str], total: int
) -> str:
    configuration = model.key.configuration
    count = len(homeless) + sum(map(len, missing.values()))
    lines = [
        f"{model.folder}: a cascade learns from what {configuration} predicted for every case while that case was "
        f"left out of training; this is missing for {count} of {counted(total, 'case')}"
    ]
    lines += [
        f"  fold {fold} ({first_few(cases)}): run {_remedy(model, str(fold))}"
        for fold, cases in sorted(missing.items())
    ]
    if homeless:
        lines.append(
            f"  {first_few(homeless)}: in no fold's validation cases; add them to `val` of a fold in splits_final.json "
            f"and train that fold of {configuration}"
        )
    if model.fold(ALL).folder.is_dir():
        lines.append(
            f"Fold {ALL} of {configuration} cannot stand in: it was trained on the very cases it predicts, so its "
            "predictions of them are better than those of new images, and the cascade would learn to trust them too much."
        )
    return "\n".join(lines)


def _remedy(model: ModelFolder, fold: str) -> str:
    """The command that makes a fold's predictions, from where its training is."""
    if model.fold(fold).weights().is_file():
        return training_command(model.key, fold, "-val")
    return training_command(model.key, fold, *(["-c"] if model.fold(fold).checkpoint.is_file() else []))


def _require_left_out(model: ModelFolder, predictions: Mapping[str, Path]) -> None:
    """Refuse predictions of cases that their fold was trained on, as when splits were edited since."""
    for fold in model.fold_folders():
        own = [case for case, path in predictions.items() if path.parent == fold.validation()]
        trained = trained_cases(fold) if own else ()
        if seen := sorted(case for case in own if case in trained):
            command = training_command(model.key, fold.fold, "--overwrite")
            raise TrainingError(
                f"{fold.folder}: was trained on {first_few(seen)}, which splits_final.json now has among its validation cases, "
                f"so its predictions of them are too good to learn from; train it again: {command}"
            )
