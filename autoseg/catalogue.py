"""Parts by name: one that ships, `my_file.py:name` of the user's, or `package.module:name` of an installed library.

Whatever is named is called, by keywords, with its settings and with those of the given things that it asks for by name; what
has many settings is a frozen dataclass of them, whose `build` is called with the given things.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autoseg.errors import ExtensionError, StorageError, TrainingError
from autoseg.extensions import code_digest, digests_by_file, import_file
from autoseg.files.layout import is_recipe_file
from autoseg.files.storage import decode, encode, read_json
from autoseg.words import nearest

T = TypeVar("T")

NAME = "name"
"""Key that names a part; the others beside it are its settings."""

SCALARS = (bool, int, float, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part by its name, and the settings that it is called with.

    Attributes:
        name: In a catalogue, or `my_file.py:name`, or `package.module:name`.
        settings: By name; plain values, or a frozen dataclass of them.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_foreign(self) -> bool:
        """Whether it is none that ships."""
        return ":" in self.name

    @property
    def own_file(self) -> Path | None:
        """The user's file that it comes from."""
        location, _, _ = self.name.rpartition(":")
        return Path(location) if location.endswith(".py") else None

    @property
    def shown_name(self) -> str:
        """The name without the folder of the user's file, where that lies does not matter."""
        return self.name if self.own_file is None else f"{self.own_file.name}:{self.name.rpartition(':')[2]}"


class Settings:
    """A part of many settings: a frozen dataclass whose fields they are, and that builds what is named."""

    __slots__ = ()

    def build(self, *args: Any, **given: Any) -> Any:
        """What is named, of those of the given things that it asks for by name."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Within:
    """What a number of a part's settings may be, or each of several.

    Attributes:
        least, most: They themselves count, unless it must be `above` the least or `below` the most.
        rising: Of two, the smaller one stands first.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False
    rising: bool = False

    def __str__(self) -> str:
        order = ", the smaller first" if self.rising else ""
        if self.above:
            return f"above {self.least:g} and {'below' if self.below else 'at most'} {self.most:g}{order}"
        return f"from {self.least:g} to {'below ' if self.below else ''}{self.most:g}{order}"

    def holds(self, value: Any) -> bool:
        """Whether it does; of what is no number nothing is said."""
        if isinstance(value, (list, tuple)):
            return all(map(self.holds, value)) and (not self.rising or list(value) == sorted(value))
        if not isinstance(value, (int, float)):
            return True
        return (self.least < value if self.above else self.least <= value) and (
            value < self.most if self.below else value <= self.most
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The parts of one kind that ship.

    Attributes:
        kind: What messages call one, "optimiser".
        entries: What is called, by name.
        given: Names of what is handed to each part that asks for it; settings cannot be called so.
        within: What settings of these names may be, `setting` of all parts that ship, or `part.setting` of one.
    """

    kind: str
    entries: Mapping[str, Callable[..., Any]]
    given: tuple[str, ...]
    within: Mapping[str, Within] = field(default_factory=dict)

    def part(self, name: str, **settings: Any) -> Part:
        """A part of ours with all its settings, of which some may differ."""
        return self.completed(Part(name=name, settings=settings))

    def completed(self, part: Part) -> Part:
        """The part with its settings, those of ours with every one, checked.

        Raises:
            ExtensionError: There is no such part, or it has no such setting, or needs one that is missing; what is known
                is listed.
            StorageError: A setting has another type.
            TrainingError: One is out of range.
            AutosegError: Settings do not go together.
        """
        return self.changed(Part(name=part.name), part.settings)

    def changed(self, part: Part, changes: Mapping[str, Any]) -> Part:
        """The part with other settings; see `completed`."""
        known, takes_more = _settings(self.find(part.name), self.given)
        if not takes_more:
            require_known(changes, known, f"{self.kind} {part.name!r} has no setting")
        defaults = {name: default for name, (_, default) in known.items() if default is not inspect.Parameter.empty}
        # those of another's part may be other ones tomorrow, and are no choice of the recipe
        settings = {name: value for name, value in defaults.items() if not part.is_foreign or is_dataclass(value)}
        settings |= part.settings
        for name, value in changes.items():
            kind = known[name][0] if name in known else Any
            settings[name] = _as_kind(kind, settings.get(name), value, name)
        if missing := [name for name in known if name not in settings and name not in defaults]:
            raise ExtensionError(f"{self.kind} {part.name!r} needs the setting {missing[0]!r}")
        if not part.is_foreign:
            self._require_within(part.name, settings)
        if (values := _settings_type(self.find(part.name))) is not None:
            values(**settings)  # which looks at them together
        return Part(name=part.name, settings=settings)

    def _require_within(self, name: str, settings: Mapping[str, Any]) -> None:
        for setting, value in settings.items():
            within = self.within.get(f"{name}.{setting}", self.within.get(setting))
            if within is not None and not within.holds(value):
                raise TrainingError(f"{setting}: {within}, found {value}")

    def find(self, name: str) -> Callable[..., Any]:
        """What a name stands for.

        Raises:
            ExtensionError: There is no such part; the known ones are listed.
        """
        if ":" in name:
            return _found_elsewhere(name)
        if name not in self.entries:
            raise ExtensionError(
                f"no {self.kind} is called {name!r}; known: {', '.join(self.entries)}{nearest(name, self.entries)}; name one "
                "of your own as path/to/file.py:name, one of an installed library as package.module:name"
            )
        return self.entries[name]

    def build(self, part: Part, **given: Any) -> Any:
        """Call a part with its settings, and with what it asks for of the given things.

        Raises:
            ExtensionError: A part of a library fails with its settings.
        """
        return self.ready(part)(**given)

    def ready(self, part: Part) -> Callable[..., Any]:
        """A part found once, to be called with the given things as often as wanted; see `build`."""
        entry = self.find(part.name)
        settings_type = _settings_type(entry)
        asked = tuple(
            name for name in self.given if name in _parameters(settings_type.build if settings_type else entry)
        )
        is_library = part.is_foreign and part.own_file is None

        def call(**given: Any) -> Any:
            words = {name: given[name] for name in asked}
            try:
                return (
                    settings_type(**part.settings).build(**words) if settings_type else entry(**words, **part.settings)
                )
            except Exception as error:
                if not is_library:
                    raise
                cause = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ExtensionError(f"{self.kind} {part.name!r} fails with its settings: {cause}") from error

        return call


def with_changes(base: T, content: Any, where: str) -> T:
    """A frozen dataclass with some fields as plain values say.

    Raises:
        ExtensionError: There is no such field; the known ones are listed.
        StorageError: A value has another type.
    """
    if not isinstance(content, Mapping):
        raise StorageError(f"{where}: expected an object with named fields, found {type(content).__name__}")
    kinds = get_type_hints(type(base))
    require_known(content, kinds, f"{where} has no field")
    changes = {name: decode(kinds[name], value, f"{where}.{name}") for name, value in content.items()}
    return replace(base, **changes)  # type: ignore[type-var]  # a frozen dataclass


def require_known(names: Mapping[str, Any], known: Mapping[str, Any], refusal: str) -> None:
    """Refuse the first name that is not known.

    Raises:
        ExtensionError: Saying what was meant, perhaps, and what is known.
    """
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ExtensionError(f"{refusal} {name!r}; known: {listed}{nearest(name, known)}")


def meanings(entry: Any) -> dict[str, str]:
    """What a docstring says of each argument or attribute, by name; a class's those of what it is made from, too."""
    ancestors = reversed(entry.__mro__[1:]) if isinstance(entry, type) else ()
    found = {name: text for ancestor in ancestors for name, text in _said_in(ancestor).items()}
    return found | _said_in(entry)


def _said_in(entry: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(entry.__doc__ or "").splitlines():
        if line in ("Args:", "Attributes:"):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and line.startswith("    ") and line[4:5].strip():
            listed, _, text = line.strip().partition(": ")
            names = listed.split(", ")
            found |= dict.fromkeys(names, text)
        elif inside:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def code_digests(parts: tuple[Part, ...]) -> dict[str, str]:
    """Digests of the user's own files that parts are made of, by path."""
    digests: dict[str, str] = {}
    for part in parts:
        if part.own_file is not None:
            digests |= digests_by_file(part.own_file)
    return digests


def files_of_recipe(path: Path) -> tuple[Path, ...]:
    """A recipe file, those that it builds on, and the files of the user's parts that they name, as far as they can be read."""
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found[one] = None
        if is_recipe_file(one.name):
            waiting += [one.parent / name.rpartition(":")[0 if ":" in name else 2] for name in _named_in(one)]
    return tuple(found)


def _named_in(recipe: Path) -> list[str]:
    """The texts in a recipe file that name another recipe file or a part of the user's."""
    try:
        level = [read_json(recipe)]
    except StorageError:
        return []
    texts = []
    while level:
        value = level.pop()
        if isinstance(value, (dict, list)):
            level += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str) and (is_recipe_file(value) or Part(name=value).own_file is not None):
            texts.append(value)
    return texts


def plain_settings(part: Part) -> dict[str, Any]:
    """Settings by name, those within a dataclass as `numbers.rotation`."""
    plain: dict[str, Any] = {}
    for name, value in part.settings.items():
        if is_dataclass(value):
            plain |= {f"{name}.{one.name}": getattr(value, one.name) for one in fields(value)}
        else:
            plain[name] = value
    return plain


def _settings_type(entry: Callable[..., Any]) -> type[Settings] | None:
    return entry if isinstance(entry, type) and issubclass(entry, Settings) else None


def _settings(entry: Callable[..., Any], given: tuple[str, ...]) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Type and default of each setting, and whether it takes others too."""
    parameters = _parameters(entry)
    hints = _hints(entry)
    plain = {
        name: (hints.get(name, Any), one.default)
        for name, one in parameters.items()
        if name not in given and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    return plain, any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _as_kind(kind: Any, default: Any, value: Any, where: str) -> Any:
    """A setting as its parameter has it; of a library's own types nothing is known."""
    if is_dataclass(default) and not isinstance(default, type):
        return value if isinstance(value, type(default)) else with_changes(default, value, where)
    return decode(kind, encode(value), where) if _is_plain(kind) else value


def _is_plain(kind: Any) -> bool:
    """Whether plain values can be held against a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        named = [one for one in inner if one is not NoneType]
        return len(named) == 1 and _is_plain(named[0])
    if origin is tuple:
        return all(one is Ellipsis or _is_plain(one) for one in inner)
    return kind in SCALARS or origin is Literal


def _parameters(entry: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(entry).parameters
    except (TypeError, ValueError):  # of a class written in C
        return inspect.signature(lambda **settings: settings).parameters


def _hints(entry: Any) -> dict[str, Any]:
    try:
        return get_type_hints(vars(entry)["__init__"] if isinstance(entry, type) else entry)
    except (NameError, TypeError, AttributeError, KeyError):  # of a library's own making
        return {}


def _found_elsewhere(name: str) -> Callable[..., Any]:
    location, _, attribute = name.rpartition(":")
    path = Path(location)
    module = _own_module(path, code_digest(path)) if location.endswith(".py") else _library(location, name)
    found = getattr(module, attribute, None)
    if not callable(found):
        known = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ExtensionError(
            f"{name}: nothing in {location} that can be called has this name{nearest(attribute, known)}"
        )
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _own_module(path: Path, digest: str | None) -> Any:  # noqa: ARG001
    """Run once, not for each of its parts; anew once it was changed."""
    return import_file(path)


def _library(location: str, name: str) -> Any:
    try:
        return importlib.import_module(location)
    except ImportError as error:
        raise ExtensionError(
            f"{name}: the module {location!r} cannot be imported: {error}; install it, or name a file of your own as "
            "path/to/file.py:name"
        ) from error
