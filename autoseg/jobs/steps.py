"""One step of a longer work: a command line, what must be done before it, and how it is known to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.files.storage import content_hash

Digest = Callable[[], str | None]
"""Hash of something that a step reads, as it is now; None where it does not exist (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A piece of work that can be repeated by hand: it is a whole command line.

    Attributes:
        name: Unique in its work; also the name of its log file.
        argv: Program and arguments. Running it again must continue what an earlier attempt left.
        needs: Names of the steps that must be done before.
        settings: The words that decide the result; None means all of `argv`. Others, such as the device or the number
            of workers, may change without anything being done again.
        inputs: What it reads, by a name for people; the step is done again when one has changed.
        products: Files that are there when it is done.
        find_products: More such files, where they are known only afterwards; the journal keeps what it returns then.
        replaces: What it makes, as a file or folder that is set aside before the step is done anew with other settings
            or inputs; None where the command itself replaces what is there.
        kind: Steps of one kind take about equally long; "" is not counted in estimates of the time left.
    """

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] | None = None
    inputs: Mapping[str, Digest] = field(default_factory=dict)
    products: tuple[Path, ...] = ()
    find_products: Callable[[], tuple[Path, ...]] = tuple
    replaces: Path | None = None
    kind: str = ""

    @property
    def settings_hash(self) -> str:
        """Equal as long as the result is decided alike."""
        return content_hash(self.argv if self.settings is None else self.settings)

    def measure_inputs(self) -> dict[str, str | None]:
        """Each input's hash now."""
        return {name: digest() for name, digest in self.inputs.items()}


def missing(products: Iterable[Path]) -> list[Path]:
    """Those that are not there, or empty."""
    return [path for path in products if not (path.is_file() and path.stat().st_size)]


def require_order(steps: Sequence[Step]) -> None:
    """Check that names are unique and that every step stands behind what it needs.

    Raises:
        ValueError: Naming the step; it is a mistake in the program that built the steps.
    """
    known: set[str] = set()
    for step in steps:
        if step.name in known:
            raise ValueError(f"two steps are called {step.name!r}")
        if unknown := set(step.needs) - known:
            raise ValueError(f"{step.name!r} needs {', '.join(sorted(unknown))}, which does not stand before it")
        known.add(step.name)
