"""What a training's recipe was: its numbers, its loss, and the code of the user's own, to tell a changed one by."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autoseg
from autoseg.catalogue import Part, code_digests, plain_settings
from autoseg.extensions import OWN_FILE, digests_by_file
from autoseg.files.storage import content_hash

if TYPE_CHECKING:
    from autoseg.training.parts import Parts
    from autoseg.training.recipes.recipe import Recipe

Value = bool | int | float | str

CONDITIONS_OF_THEIR_OWN = {"epochs", "iterations_per_epoch", "initial_learning_rate"}
"""A training may be made longer and go on with another rate; the batches of an epoch are compared by themselves."""

OPTIMISER_NUMBERS = ("momentum", "nesterov", "weight_decay")
"""Settings of an optimiser that a class of your own may set as attributes."""

NAMED_PARTS = {"network", "losses", "optimiser", "schedule", "augmentation", "validation_batches", "deep_supervision"}
"""What records hold since a recipe names its parts."""

CAME_LATER: Mapping[str, Mapping[str, Any]] = {
    "poly": {"warm_up": 0},
    "constant": {"warm_up": 0},
    "Adam": {"betas": (0.9, 0.999), "epsilon": 1e-8},
    "AdamW": {"betas": (0.9, 0.999), "epsilon": 1e-8},
    "dice": {"parts": True},
}
"""Settings that a part did not have before, and the value by which it does what it did then: records do not hold that."""

NO_STOPPING = "never"
"""Which records did not hold before there was another, and do not now."""

EVERY_SLICE = "all"
"""Likewise of which slices patches are drawn."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""In what Python shows of an object that shows nothing of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRecord:
    """A recipe as it was.

    Attributes:
        values: Its numbers and parts by name, as text, and its loss.
        code: Digests of the user's own files that it is made of, by path; of a class that came of no file by its name.
    """

    values: Mapping[str, str]
    code: Mapping[str, str]


def record_recipe(parts: Parts) -> RecipeRecord:
    """What a recipe is now."""
    numbers = {name: repr(value) for name, value in _numbers(parts)}
    loss = ADDRESS.sub("", str(parts.build_loss()))
    code = own_code(type(parts)) | code_digests(parts.recipe.parts)
    return RecipeRecord(values={**recorded(parts.recipe), **numbers, "loss": loss}, code=code)


def differences(before: RecipeRecord, now: RecipeRecord) -> list[str]:
    """What changed in a recipe, in words; what an autoseg before did not write down is not compared."""
    new = set() if NAMED_PARTS & before.values.keys() else NAMED_PARTS
    names = sorted({*before.values, *now.values} - new)
    values = [(name, before.values.get(name, "not there"), now.values.get(name, "not there")) for name in names]
    changed = {name: f"{name} was {old}, now {new}" for name, old, new in values if old != new}
    if "losses" in changed:
        changed.pop("loss", None)
    return [*code_differences(before.code, now.code), *changed.values()]


def code_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed in the user's own code, as digests by path, in words; where its files lie does not matter."""
    known, present = set(before.values()), set(now.values())
    gone = [path for path, digest in before.items() if digest not in present]
    new = [path for path, digest in now.items() if digest not in known]
    changed = [path for path in new if path in gone]
    gone, new = ([path for path in paths if path not in changed] for paths in (gone, new))
    words = [f"the code in {path} changed" for path in changed]
    if gone and new:
        return [*words, f"the code was that in {', '.join(gone)}, now it is that in {', '.join(new)}"]
    return [
        *words,
        *(f"the code in {path} no longer belongs to it" for path in gone),
        *(f"the code in {path} was not part of it" for path in new),
    ]


def recorded(recipe: Recipe) -> dict[str, str]:
    """A recipe's numbers and parts by name, as text; those of optimiser and augmentation stand one by one."""
    names = ("tasks", "foreground_by_recall", "frequency_bias", "frozen", "fresh", "weight_average")
    wanted = {name: getattr(recipe, name) for name in names}
    if recipe.tasks:
        wanted |= {"task_order": recipe.task_order}
    steps = recipe.augmentation.settings.get("steps", ())
    numbers = {
        "gradient_clip": recipe.gradient_clip,
        "foreground_fraction": recipe.foreground_fraction,
        "mirror": recipe.mirror,
        "deep_supervision": recipe.deep_supervision,
        "validation_batches": recipe.validation_batches,
        **({} if recipe.balance is None else {"balance": recipe.balance}),
        **{name: value for name, value in recipe.optimiser.settings.items() if name in OPTIMISER_NUMBERS},
        **{
            f"augmentation.{name.removeprefix('numbers.')}": value
            for name, value in plain_settings(recipe.augmentation).items()
            if value is not None and name != "steps"  # the device decides; they are shown one by one
        },
    }
    return {
        "network": _shown(recipe.network),
        "losses": _shown_losses(recipe),
        "optimiser": _shown(recipe.optimiser, without=OPTIMISER_NUMBERS),
        "schedule": _shown(recipe.schedule),
        "augmentation": " + ".join(map(_shown, steps)) if steps else recipe.augmentation.shown_name,
        **{name: repr(value) for name, value in wanted.items() if value not in (None, 0.0, False, ())},
        **({"batch_steps": " + ".join(map(_shown, recipe.batch_steps))} if recipe.batch_steps else {}),
        **({"stopping": _shown(recipe.stopping)} if recipe.stopping.name != NO_STOPPING else {}),
        **({"slices": _shown(recipe.slices)} if recipe.slices.name != EVERY_SLICE else {}),
        **{name: repr(value) for name, value in numbers.items()},
    }


def _shown_losses(recipe: Recipe) -> str:
    shown = list(map(_shown, recipe.loss))
    if recipe.loss_weights is not None:
        shown = [f"{weight!r} {loss}" for weight, loss in zip(recipe.loss_weights, shown, strict=True)]
    return " + ".join(shown)


def _shown(part: Part, *, without: Sequence[str] = ()) -> str:
    before = CAME_LATER.get(part.name, {})
    said = {name: value for name, value in plain_settings(part).items() if name not in before or before[name] != value}
    named = sorted((name, value) for name, value in said.items() if name not in without)
    settings = ", ".join(f"{name}={value!r}" for name, value in named)
    return f"{part.shown_name}({settings})"


def _numbers(recipe: Parts) -> Iterator[tuple[str, Value]]:
    """The plain values among the attributes of the recipe's classes, as they are now, and those of the augmentation."""
    kind = type(recipe)
    for name in dir(kind):
        if not name.startswith("_") and name not in CONDITIONS_OF_THEIR_OWN and isinstance(getattr(kind, name), Value):
            yield name, getattr(recipe, name)
    for name, value in asdict(recipe.settled_augmentation).items():
        yield f"augmentation.{name}", value


def own_code(kind: type) -> dict[str, str]:
    """Digests of the user's own files that a class is made of, by path; of a class that came of no file by its name."""
    digests: dict[str, str] = {}
    for ancestor in kind.__mro__:
        module = sys.modules.get(ancestor.__module__)
        if (own := getattr(module, OWN_FILE, None)) is not None:
            digests |= digests_by_file(Path(own))
        elif ancestor.__module__.partition(".")[0] not in (autoseg.__name__, "builtins"):
            digests[f"{ancestor.__module__}.{ancestor.__qualname__}"] = _source_digest(ancestor)
    return digests


def _source_digest(kind: type) -> str:
    """Of a class that was imported otherwise, or typed in; empty where Python cannot show it."""
    try:
        return content_hash(ast.dump(ast.parse(textwrap.dedent(inspect.getsource(kind)))))
    except (OSError, TypeError, SyntaxError):
        return ""
