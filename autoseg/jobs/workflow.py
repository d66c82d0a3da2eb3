"""The steps from a raw task to a model archive, in an order in which each stands behind what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from autoseg.catalogue import files_of_recipe
from autoseg.extensions import code_digest, files_beside
from autoseg.files.layout import CANDIDATES_FILE, COMMANDS_FILE, is_recipe_file
from autoseg.files.model_folder import ModelFolder, ModelKey
from autoseg.jobs.digests import (
    descriptions_digest,
    file_digest,
    listing_digest,
    plan_digest,
    scores_digest,
    split_digest,
)
from autoseg.jobs.steps import Digest, Step

VERIFY, PLAN, TRAIN = "verify_dataset", "plan_and_preprocess", "train"
CHOOSE, EXPORT = "find_best_configuration", "export_model"
PREDICTIONS = (".nii.gz", ".npz")
CODE_SEPARATOR = ":"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """Options as they stand on a command line: those that decide the result, and those that only decide how fast."""

    decisive: tuple[str, ...] = ()
    incidental: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration of a run.

    Attributes:
        folds: To be trained.
        previous: The configuration whose predictions it takes, all of its folds; else None.
        plans_file: The pickle it is planned in.
        prepared: The folder of its prepared cases.
        model: Where it is trained.
        is_candidate: Whether it may be chosen; else it is only trained for the one that follows it.
    """

    name: str
    folds: tuple[str, ...]
    previous: str | None
    plans_file: Path
    prepared: Path
    model: ModelFolder
    is_candidate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run is asked for, and where everything lies.

    Attributes:
        task: Folder's name.
        launcher: What stands before the name of a command ("python -m autoseg").
        everywhere: Options that every command gets.
        raw: `raw_data/TaskXXX_Name`.
        find_planned_files: What planning and preparing has left.
        planners: References of the planners, to notice a change in the user's own.
        folds: That candidates are compared on.
    """

    task: str
    trainer: str
    plans: str
    launcher: tuple[str, ...]
    everywhere: tuple[str, ...] = ()
    raw: Path
    find_planned_files: Callable[[], tuple[Path, ...]] = tuple
    planners: tuple[str, ...] = ()
    splits: Path
    folds: tuple[str, ...]
    selection: Path
    archive: Path
    planning: StepOptions = field(default_factory=StepOptions)
    training: StepOptions = field(default_factory=StepOptions)


def preparation_steps(work: Work) -> tuple[Step, ...]:
    """Verify, plan and prepare: all that can be said before the plans are known."""
    training_data = (work.raw, work.raw / "imagesTr", work.raw / "labelsTr")
    words: tuple[str, ...] = (VERIFY, "-t", work.task)
    verify = Step(
        name=VERIFY,
        argv=_line(work, words),
        settings=words,
        inputs={"raw data": partial(listing_digest, *training_data, work.raw / "imagesTs")},
    )
    words = (PLAN, "-t", work.task, "-p", work.plans, *work.planning.decisive)
    plan = Step(
        name=PLAN,
        argv=_line(work, words, work.planning.incidental),
        settings=words,
        needs=(VERIFY,),
        inputs={"raw data": partial(listing_digest, *training_data), **_own_code(work.planners)},
        find_products=work.find_planned_files,
    )
    return (verify, plan)


def all_steps(work: Work, configurations: Sequence[Configuration]) -> tuple[Step, ...]:
    """Every step of a run.

    Args:
        configurations: Each behind the one it follows.
    """
    trainings = training_steps(work, configurations)
    candidates = tuple(configuration for configuration in configurations if configuration.is_candidate)
    return (
        *preparation_steps(work),
        *trainings,
        _choice_step(work, candidates, tuple(step.name for step in trainings)),
        _export_step(work, configurations),
    )


def training_steps(work: Work, configurations: Sequence[Configuration]) -> tuple[Step, ...]:
    """Training and validating every fold of every configuration, once the task is prepared."""
    return tuple(
        _training_step(work, configuration, fold, configurations)
        for configuration in configurations
        for fold in configuration.folds
    )


def training_name(key: ModelKey, fold: str) -> str:
    """`train 3d_fullres fold 2`; of another trainer or of other plans it is another step, and not a comparison's, which may train shorter."""
    usual = ModelKey(task=key.task, configuration=key.configuration)
    return f"train {key.configuration}{'' if key == usual else f' by {key.folder_name}'} fold {fold}"


def _training_step(work: Work, own: Configuration, fold: str, configurations: Sequence[Configuration]) -> Step:
    """`-c` starts anew where there is nothing, so the same command line begins and continues."""
    trained = own.model.fold(fold)
    before = [configuration for configuration in configurations if configuration.name == own.previous]
    words = (TRAIN, own.name, work.trainer, work.task, fold, "-p", work.plans, "--npz", *work.training.decisive)
    return Step(
        name=training_name(own.model.key, fold),
        argv=_line(work, words, ("-c", "--own_settings", *work.training.incidental)),
        settings=words,
        needs=(PLAN, *(training_name(one.model.key, number) for one in before for number in one.folds)),
        inputs={
            "the plan": partial(plan_digest, own.plans_file, own.name),
            "prepared cases": partial(descriptions_digest, own.prepared),
            f"the split of fold {fold}": partial(split_digest, work.splits, int(fold)),
            **_own_code((work.trainer,)),
            **{name: digest for one in before for name, digest in _scores(one).items()},
        },
        products=(trained.weights(), trained.summary()),
        find_products=partial(_predictions, trained.validation()),
        replaces=trained.folder,
        kind=own.name,
    )


def _choice_step(work: Work, candidates: Sequence[Configuration], needs: tuple[str, ...]) -> Step:
    names = [configuration.name for configuration in candidates]
    words = (CHOOSE, "-t", work.task, "-m", *names, "-tr", work.trainer, "-p", work.plans, "-f", *work.folds)
    return Step(
        name=CHOOSE,
        argv=_line(work, words),
        settings=words,
        needs=(PLAN, *needs),
        inputs={name: digest for one in candidates for name, digest in _scores(one).items()},
        products=(work.selection, *(work.selection.with_name(name) for name in (CANDIDATES_FILE, COMMANDS_FILE))),
    )


def _export_step(work: Work, configurations: Sequence[Configuration]) -> Step:
    weights: dict[str, Digest] = {
        f"weights of {one.name} fold {fold}": partial(file_digest, one.model.fold(fold).weights())
        for one in configurations
        for fold in one.folds
    }
    words = (EXPORT, "-t", work.task, "-o", str(work.archive), "--best")
    return Step(
        name=EXPORT,
        argv=_line(work, words),
        settings=words,
        needs=(CHOOSE,),
        inputs={"the selection": partial(file_digest, work.selection), **weights},
        products=(work.archive,),
    )


def _predictions(folder: Path) -> tuple[Path, ...]:
    """Of the validation cases, with their probabilities: what cascades and ensembles read."""
    files = [path for ending in PREDICTIONS for path in sorted(folder.glob(f"*{ending}"))]
    return tuple(path for path in files if not path.name.startswith("."))


def _scores(configuration: Configuration) -> dict[str, Digest]:
    return {
        f"scores of {configuration.name} fold {fold}": partial(scores_digest, configuration.model.fold(fold).summary())
        for fold in configuration.folds
    }


def _own_code(references: Sequence[str]) -> dict[str, Digest]:
    """The user's own files among `Name`, `path/to/recipe.json` and `path/to/file.py:Name`, and those beside them that
    they name or import."""
    recipes = [
        file for reference in references if is_recipe_file(reference) for file in files_of_recipe(Path(reference))
    ]
    named = {Path(reference.rpartition(CODE_SEPARATOR)[0]) for reference in references if CODE_SEPARATOR in reference}
    named |= {file for file in recipes if not is_recipe_file(file.name)}
    files = named.union(*map(files_beside, named))
    return {
        **{f"the recipe {file}": partial(file_digest, file) for file in recipes if is_recipe_file(file.name)},
        **{f"the code in {file}": partial(code_digest, file) for file in sorted(files)},
    }


def _line(work: Work, words: tuple[str, ...], incidental: tuple[str, ...] = ()) -> tuple[str, ...]:
    return (*work.launcher, *words, *incidental, *work.everywhere)
