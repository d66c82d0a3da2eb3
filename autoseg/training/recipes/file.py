"""Recipe files: JSON that says only in what a recipe differs from the default, or from the one that it names as its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from autoseg.catalogue import NAME, Catalogue, Part, meanings, plain_settings, require_known
from autoseg.errors import ExtensionError, StorageError, TrainingError, WorkspaceError
from autoseg.files.layout import DEFAULT_TRAINER, RECIPE_ENDING, is_recipe_file, recipe_name
from autoseg.files.storage import decode, encode, read_json, write_json
from autoseg.networks.build import RECIPE_NETWORKS
from autoseg.training.augmentation.named import AUGMENTATIONS, LISTED, OTHERWISE_SPELT
from autoseg.training.augmentation.steps import STEPS, require_turned_first
from autoseg.training.batch_steps import BATCH_STEPS
from autoseg.training.ending import STOPPINGS
from autoseg.training.losses import LOSSES
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.recipes.recipe import Recipe
from autoseg.training.recipes.shipped import RECIPES
from autoseg.training.sampling.slices import SLICES
from autoseg.training.schedule import SCHEDULES
from autoseg.words import nearest

BASE = "base"
"""Key that names the recipe from which a file says the differences."""

CATALOGUES: Mapping[str, Catalogue] = {
    "network": RECIPE_NETWORKS,
    "loss": LOSSES,
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
    "stopping": STOPPINGS,
    "slices": SLICES,
    "augmentation": AUGMENTATIONS,
    "batch_steps": BATCH_STEPS,
}
"""Where the parts of a recipe are looked up, by the recipe's fields."""


def find_recipe(name: str, *, beside: Path | None = None, above: Sequence[Path] = ()) -> Recipe:
    """A recipe that ships, or that of a file.

    Args:
        beside: The folder that a file's path is relative to; None for the one that is worked in.
        above: Files that name it as their base, directly or not.

    Raises:
        ExtensionError: There is none of that name; the known ones are listed. Or see `read_recipe`.
    """
    if is_recipe_file(name):
        return read_recipe((beside or Path()) / name, above=above)
    if name not in RECIPES:
        raise ExtensionError(
            f"no recipe is called {name!r}; known: {', '.join(RECIPES)}{nearest(name, RECIPES)}; name a file of your own as "
            "path/to/recipe.json"
        )
    return RECIPES[name]


def read_recipe(path: Path, *, above: Sequence[Path] = ()) -> Recipe:
    """Read a recipe file.

    Files that it names are looked for beside it.

    Raises:
        ExtensionError: The file is not there, no JSON, or called like a recipe that ships; it has a key, a part or a
            setting that does not exist, a value of another type, or one out of range. The file and the key are named, and
            what is allowed.
    """
    if not path.is_file():
        name = recipe_name(path)
        advice = f"the recipe that ships is called {name}, without {RECIPE_ENDING}"
        advice = advice if name in RECIPES else "autoseg_make_recipe writes a recipe to begin with"
        raise ExtensionError(f"{path}: no such file; {advice}")
    require_own_name(path)
    if path.resolve() in above:
        raise ExtensionError(f"{path}: is its own base, through {', '.join(map(str, above))}")
    try:
        content = read_json(path)
    except StorageError as error:
        raise ExtensionError(str(error)) from error
    if not isinstance(content, dict):
        raise ExtensionError(f"{path}: expected an object with named fields, found {type(content).__name__}")
    base = content.pop(BASE, DEFAULT_TRAINER)
    if not isinstance(base, str):
        raise ExtensionError(f"{path}: {BASE}: expected the name of a recipe, or a file's, found {base!r:.60}")
    try:
        before = find_recipe(base, beside=path.parent, above=(*above, path.resolve()))
        return changed_recipe(before, content, beside=path.parent)
    except (StorageError, TrainingError, ExtensionError) as error:
        raise error if str(error).startswith(str(path)) else ExtensionError(f"{path}: {error}") from error


def make_recipe(path: Path, *, base: str = DEFAULT_TRAINER) -> Recipe:
    """Write a recipe file that says everything, to be changed; returns the recipe that it holds.

    Args:
        base: Whose values it gets: a recipe that ships, or a file's.

    Raises:
        WorkspaceError: The file is there already, or cannot be called so.
        ExtensionError: There is no such base, or a recipe that ships is called like the file.
    """
    if not is_recipe_file(path.name):
        raise WorkspaceError(f"{path}: a recipe file's name ends in {RECIPE_ENDING}")
    require_own_name(path)
    if path.exists():
        raise WorkspaceError(f"{path}: there already; choose another name, or remove it")
    recipe = find_recipe(base)
    write_recipe(path, recipe)
    return recipe


def require_own_name(path: Path) -> None:
    """Refuse a file that is called like a recipe that ships; their models would share a folder.

    Raises:
        ExtensionError: It is.
    """
    if recipe_name(path) in RECIPES:
        raise ExtensionError(f"{path}: a recipe that ships is called so; give the file another name")


def changed_recipe(base: Recipe, content: Mapping[str, Any], *, beside: Path) -> Recipe:
    """A recipe with what a file says instead.

    Raises:
        ExtensionError: There is no such key, part or setting; the known ones are listed.
        StorageError: A value has another type.
        TrainingError: One is out of range.
    """
    kinds = get_type_hints(Recipe)
    require_known(content, {**kinds, BASE: str}, "there is no key")
    changes: dict[str, Any] = {}
    for name, value in content.items():
        if name == "loss":
            changes[name] = _losses(base.loss, value, beside)
        elif name == "batch_steps":
            changes[name] = _parts(BATCH_STEPS, value, name, beside)
        elif name == "augmentation":
            changes[name] = _augmentation(base.augmentation, value, beside)
        elif name in CATALOGUES:
            changes[name] = _part(CATALOGUES[name], getattr(base, name), value, name, beside)
        else:
            changes[name] = decode(kinds[name], value, name)
    return replace(base, **changes)


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe file that says everything."""
    write_json(path, as_content(recipe))


def as_content(recipe: Recipe) -> dict[str, Any]:
    """A recipe as its file says it."""
    values = {one.name: getattr(recipe, one.name) for one in fields(Recipe)}
    return {
        name: value
        if name not in CATALOGUES
        else list(map(_part_content, listed))
        if (listed := _listed(name, value)) is not None
        else _part_content(value)
        for name, value in values.items()
    }


def explained(recipe: Recipe) -> list[tuple[str, Any, str]]:
    """Every key of a recipe, its value, and what it means."""
    said = meanings(Recipe)
    rows: list[tuple[str, Any, str]] = []
    for one in fields(Recipe):
        value = getattr(recipe, one.name)
        if one.name not in CATALOGUES:
            rows.append((one.name, encode(value), said[one.name]))
            continue
        listed = _listed(one.name, value)
        if listed == ():
            rows.append((one.name, [], said[one.name]))
        for number, part in enumerate((value,) if listed is None else listed):
            key = one.name if listed is None else f"{one.name}[{number}]"
            catalogue = STEPS if listed is not None and one.name == "augmentation" else CATALOGUES[one.name]
            rows += [(key, part.name, said[one.name]), *_explained_settings(catalogue, part, key)]
    return rows


def _listed(name: str, value: Any) -> tuple[Part, ...] | None:
    """The parts of a key whose value is a list of them."""
    if name in ("loss", "batch_steps"):
        return tuple(value)
    return tuple(value.settings["steps"]) if isinstance(value, Part) and value.name == LISTED else None


def _explained_settings(catalogue: Catalogue, part: Part, key: str) -> list[tuple[str, Any, str]]:
    entry = catalogue.find(part.name)
    said = meanings(entry)
    for name, value in part.settings.items():
        said |= {f"{name}.{inner}": text for inner, text in meanings(type(value)).items()}
    return [(f"{key}.{name}", value, said.get(name, "")) for name, value in plain_settings(part).items()]


def _part_content(part: Part) -> dict[str, Any]:
    return {NAME: part.name, **encode(part.settings)}


def _losses(base: tuple[Part, ...], value: Any, beside: Path) -> tuple[Part, ...]:
    """One or several; settings without a name are of the base's one."""
    if not isinstance(value, list):
        before = base[0] if len(base) == 1 else None
        return (_part(LOSSES, before, value, "loss", beside),)
    return _parts(LOSSES, value, "loss", beside)


def _parts(catalogue: Catalogue, value: Any, where: str, beside: Path) -> tuple[Part, ...]:
    """Those of a list; one alone is a list of one."""
    listed = value if isinstance(value, list) else [value]
    return tuple(_part(catalogue, None, one, f"{where}[{number}]", beside) for number, one in enumerate(listed))


def _augmentation(base: Part, value: Any, beside: Path) -> Part:
    """One by name, or a list of steps."""
    if isinstance(value, dict) and value.get(NAME) == LISTED:
        value = value.get("steps", [])
    if isinstance(value, list):
        listed = _parts(STEPS, value, "augmentation", beside)
        require_turned_first(listed)
        return Part(name=LISTED, settings={"steps": listed})
    if isinstance(value, str):
        value = OTHERWISE_SPELT.get(value, value)
    return _part(AUGMENTATIONS, base, value, "augmentation", beside)


def _part(catalogue: Catalogue, base: Part | None, value: Any, where: str, beside: Path) -> Part:
    """A name, or an object of a name and settings; settings alone, or beside the base's own name, change the base's."""
    content = {NAME: value} if isinstance(value, str) else value
    if not isinstance(content, dict):
        raise StorageError(f"{where}: expected a name, or an object with a name and settings, found {value!r:.60}")
    name = content.get(NAME, None if base is None else base.name)
    if not isinstance(name, str):
        raise StorageError(f"{where}: expected the {NAME} of one of {', '.join(catalogue.entries)}, found {name!r:.60}")
    name = _located(name, beside)
    settings = {key: one for key, one in content.items() if key != NAME}
    try:
        if base is None or name != base.name:
            return catalogue.completed(Part(name=name, settings=settings))
        return catalogue.changed(base, settings)
    except (StorageError, TrainingError) as error:
        raise type(error)(f"{where}.{error}") from error
    except ExtensionError as error:
        raise ExtensionError(f"{where}: {error}") from error


def _located(name: str, beside: Path) -> str:
    """A part of the user's file with the file's path; it stands beside the recipe."""
    part = Part(name=name)
    return name if part.own_file is None else f"{beside / part.own_file}:{name.rpartition(':')[2]}"
