"""From the files a user names to their segmentations: the model, the guard, the records, and what was predicted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.dataset import Case
from autoseg.dataset.contents import require_images
from autoseg.dataset.target import Target, names_in_files
from autoseg.ensembling.selection import Selection
from autoseg.errors import CasesFailed, WorkspaceError
from autoseg.files.layout import COLOUR_TABLE, ITKSNAP_LABELS, REPORT_FILE
from autoseg.files.storage import write_bytes
from autoseg.images import AS_FILES_SAY, WRITTEN_ENDINGS, split_ending
from autoseg.images.label_tables import itksnap_labels, slicer_colours
from autoseg.inference.found_cases import find_cases, select_part
from autoseg.inference.settings import Failures, PredictionRun, PredictionSettings
from autoseg.outputs import read_origin, require_apart
from autoseg.paths import Workspace
from autoseg.plans import Plans
from autoseg.prediction.by_selection import predict_by_selection
from autoseg.prediction.choice import ChosenModel, ModelChoice, choose_model, open_model
from autoseg.prediction.folder import require_same_selection
from autoseg.prediction.guard import open_guard, refused_now
from autoseg.prediction.run import predict_with_model
from autoseg.prediction.selected import open_selection, selected_models
from autoseg.words import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What was predicted.

    Attributes:
        plans: Of the model, or of the first of several.
        files: Each case's segmentation.
        unlike: The cases that are far from the training cases.
        report: Where it says in what; None for one case's files.
    """

    plans: Plans
    files: tuple[Path, ...]
    unlike: tuple[str, ...]
    report: Path | None

    def describe_unlike(self) -> str:
        """How many cases are unlike the training cases, and where it says in what."""
        where = "as told above" if self.report is None else f"{self.report} says in what"
        return f"unlike the training cases: {len(self.unlike)} of {counted(len(self.files), 'case')}; {where}"


def predict(
    inputs: Sequence[Path],
    output: Path,
    workspace: Workspace,
    *,
    model: ModelChoice | None = None,
    settings: PredictionSettings | None = None,
    best: bool = False,
) -> Predicted:
    """Predict a folder of images into a folder, or one case's files into a file.

    Args:
        model: With which; what it leaves open is taken from what is there.
        best: Predict with the task's selection, which must be there; without it the selection is used where `model`
            names nothing but the task.

    Raises:
        WorkspaceError: No such model, an output that does not fit the input, or strict inputs with nothing to compare.
        ModelError: No selection, or weights that cannot be used.
        CasesFailed: After all cases were tried, naming those that failed.
    """
    choice, settings = model or ModelChoice(), settings or PredictionSettings()
    single = not (len(inputs) == 1 and inputs[0].is_dir())
    require_images(inputs)
    _require_fitting_output(inputs, output, single=single)
    _require_output_apart(inputs, output, choice.lowres_segmentations, single=single)
    if settings.save_npz:
        _require_probabilities(settings, "for `save_npz` to keep")
    task = workspace.find_task_with_models(choice.task)
    require_apart(
        [output], {"the folder of the task's selection; name one of its own": [workspace.task(task).selection_folder]}
    )
    selection = open_selection(task, choice, workspace, best=best)
    models = _open_models(task, choice, selection, workspace, settings)
    with TemporaryDirectory(prefix="autoseg-") as scratch:
        cases = _cases_of_part(inputs, models[0], settings, Path(scratch))
        outputs = {
            case.identifier: output if single else output / (case.identifier + settings.ending_for(case))
            for case in cases
        }
        folder = None if single else output
        _require_one_format(outputs)
        if folder is not None:
            require_same_selection(folder, selection, settings, tuple(outputs.values()))
        report = None if folder is None else folder / REPORT_FILE
        with open_guard(task, models, workspace, report=report, strict=settings.strict_inputs) as guard:
            run = PredictionRun(cases=cases, outputs=outputs, settings=settings, folder=folder, guard=guard)
            failures = _predict(selection, models, run, workspace)
        failures = [(case, said.replace(f"{scratch}/", "")) for case, said in (*failures, *refused_now(guard, cases))]
        if failures:
            raise CasesFailed("predicting", failures, len(cases))
        if folder is not None and cases:
            _write_label_tables(folder, models[0].trained.target)
        if folder is not None and cases:  # whatever was started beside
            require_same_selection(folder, selection, replace(settings, overwrite=False), tuple(outputs.values()))
        return Predicted(
            plans=models[0].trained.plans, files=tuple(outputs.values()), unlike=guard.warned, report=report
        )


def _open_models(
    task: str, choice: ModelChoice, selection: Selection | None, workspace: Workspace, settings: PredictionSettings
) -> list[ChosenModel]:
    choices = [choose_model(task, choice, workspace)] if selection is None else selected_models(selection, choice)
    if len(choices) > 1:
        _require_probabilities(settings, "by which several models are averaged")
    return [open_model(task, one, workspace) for one in choices]


def _cases_of_part(
    inputs: Sequence[Path], model: ChosenModel, settings: PredictionSettings, scratch: Path
) -> Sequence[Case]:
    """The cases to predict, or the part of them that falls to this process."""
    plans = model.trained.plans
    cases = find_cases(inputs, len(plans.channels), scratch)
    found = [replace(case, reading=plans.reading or AS_FILES_SAY) for case in cases]
    cases = select_part(found, settings.part, settings.parts)
    if settings.parts > 1:
        log.info("part %d of %d: %d of %s", settings.part, settings.parts, len(cases), counted(len(found), "case"))
    return cases


def _predict(
    selection: Selection | None, models: Sequence[ChosenModel], run: PredictionRun, workspace: Workspace
) -> Failures:
    if selection is None:
        return predict_with_model(models[0], run, workspace)
    return predict_by_selection(selection, models, run, workspace)


def _require_probabilities(settings: PredictionSettings, purpose: str) -> None:
    if settings.mode == "fast":
        raise WorkspaceError(f"`mode=fast` makes no probabilities {purpose}; use `mode=normal`")


def _require_fitting_output(inputs: Sequence[Path], output: Path, *, single: bool) -> None:
    if absent := [path for path in inputs if not path.exists()]:
        raise WorkspaceError(f"{absent[0]}: no such file or folder; name a folder of images, or the files of one case")
    ending = split_ending(output.name)[1]
    is_file_name = bool(ending)
    if single and is_file_name and ending.lower() not in WRITTEN_ENDINGS:
        raise WorkspaceError(f"{output}: segmentations are written as {', '.join(WRITTEN_ENDINGS)}; change the ending")
    if single and not is_file_name:
        raise WorkspaceError(f"{output}: for the files of one case, `output` names a file; let it end in .nii.gz")
    if not single and (is_file_name or output.is_file()):
        raise WorkspaceError(f"{output}: for a folder of images, `output` names a folder, not a file")


def _write_label_tables(folder: Path, target: Target) -> None:
    """What the values of the segmentations are called, for two viewers; masks are called by their files' names."""
    (names, *others) = names_in_files(target)
    if not others:
        write_bytes(folder / ITKSNAP_LABELS, itksnap_labels(names).encode())
        write_bytes(folder / COLOUR_TABLE, slicer_colours(names).encode())


def _require_one_format(outputs: Mapping[str, Path]) -> None:
    """Refuse to put a segmentation beside another of its case in another format."""
    for identifier, path in outputs.items():
        others = (path.with_name(identifier + ending) for ending in WRITTEN_ENDINGS)
        if other := next((one for one in others if one != path and one.is_file() and read_origin(one)), None):
            raise WorkspaceError(
                f"{other}: was predicted already, and {path.name} would lie beside it; name another output, or the format "
                "that is there (`output_format`)"
            )


def _require_output_apart(inputs: Sequence[Path], output: Path, refined: Path | None, *, single: bool) -> None:
    what = "one of the images; give the segmentation a name" if single else "the folder of the images; name one"
    earlier = [] if refined is None else [refined]
    require_apart(
        [output],
        {f"{what} of its own": inputs, "the folder that `lowres_segmentations` names; name one of its own": earlier},
    )
