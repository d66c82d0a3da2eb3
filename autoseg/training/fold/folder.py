"""The folder of one fold: what lies in it, and the plans beside it that its model shares."""

from __future__ import annotations

from autoseg.errors import TrainingError
from autoseg.files.model_folder import FoldFolder
from autoseg.inference.model import trained_plan
from autoseg.plans import Plans, load_plans, plan_signature, save_plans
from autoseg.words import agreeing


def require_untrained(fold: FoldFolder, *, advice: str = "") -> None:
    """Refuse to begin where a training lies.

    Args:
        advice: What else may be wanted.

    Raises:
        TrainingError: Saying how to go on with it, or to do without it.
    """
    if fold.checkpoint.is_file():
        raise TrainingError(
            f"{fold.folder}: a training lies here already; continue it with `resume=True`, or discard it with `overwrite=True`"
            + advice
        )
    require_no_weights(fold)


def require_no_weights(fold: FoldFolder) -> None:
    """Refuse to begin where weights lie without the checkpoint behind them, as those of a model that was installed.

    Raises:
        TrainingError: They could not be continued, and would be replaced.
    """
    if fold.weights().is_file() and not fold.checkpoint.is_file():
        raise TrainingError(
            f"{fold.folder}: finished weights lie here, without the checkpoint that their training could be continued from; "
            "begin from them (`pretrained_weights`) under another trainer's name, or discard them with `overwrite=True`"
        )


def write_model_plans(plans: Plans, configuration: str, fold: FoldFolder) -> None:
    """Write the plans into the model's folder, beside its folds.

    Raises:
        TrainingError: Another fold there was trained with other plans, or its training began with others.
    """
    path, signature = fold.model_plans, plan_signature(plans, configuration)
    started = [one for one in fold.neighbours() if one.is_started and one != fold]
    if started and path.is_file():
        here = plan_signature(load_plans(path), configuration)
        if others := [one.folder.name for one in started if {here, trained_plan(one) or here} != {signature}]:
            raise TrainingError(
                f"{path}: {', '.join(others)} {agreeing(len(others), 'was', 'were')} trained with other plans than "
                "these; "
                "train with the same, or give the new plans another name (`plans`) so that they get a folder of their own"
            )
        return
    save_plans(plans, path)


def require_model_plans(plans: Plans, configuration: str, fold: FoldFolder) -> None:
    """Refuse to validate with other plans than the model's, and than those that the fold was trained with.

    Raises:
        TrainingError: The model was trained with others.
    """
    path, signature = fold.model_plans, plan_signature(plans, configuration)
    known = [plan_signature(load_plans(path), configuration)] if path.is_file() else []
    if {*known, trained_plan(fold) or signature} != {signature}:
        raise TrainingError(
            f"{path}: this model was trained with other plans than those now in the task's folder; "
            "name the plans it was trained with (`plans`), or train it anew with `overwrite=True`"
        )
