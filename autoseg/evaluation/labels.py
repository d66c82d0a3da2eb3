"""Labels that are named by number or by name."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.dataset.target import Target
from autoseg.errors import WorkspaceError
from autoseg.words import readable


def label_numbers(wanted: Sequence[int | str] | None, target: Target | None) -> list[int]:
    """The numbers of labels that are named by number or name.

    Args:
        wanted: None takes all that are scored.
        target: The task's; None where no task is known.

    Raises:
        WorkspaceError: A label that the task does not have, or names without a task.
    """
    if target is None:
        if unknown := [one for one in wanted or () if isinstance(one, str)]:
            raise WorkspaceError(
                f"`scoring.labels={unknown[0]}`: names are known of a task only; name it (`task`), or the label's number"
            )
        if wanted is None:
            raise WorkspaceError(
                "which labels? Name their numbers (`scoring.labels`), or the task that they belong to (`task`)"
            )
        return [int(one) for one in wanted]
    return list(target.scored) if wanted is None else [_number(one, target.labels) for one in wanted]


def _number(wanted: int | str, names: Sequence[str]) -> int:
    if isinstance(wanted, int) and wanted < len(names):
        return wanted
    alike = [number for number, name in enumerate(names) if name.casefold() == str(wanted).casefold()]
    exact = [number for number in alike if names[number] == wanted]
    if len(exact or alike) != 1:
        known = ", ".join(f"{number} {readable(name)}" for number, name in enumerate(names))
        raise WorkspaceError(f"`scoring.labels={readable(wanted)}`: the task has no such label; it has {known}")
    return (exact or alike)[0]
