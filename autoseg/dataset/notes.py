"""What reading a dataset.json finds: faults, a line each, and remarks; the same fault of many entries is told once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from autoseg.words import counted


@dataclass(frozen=True, slots=True)
class Notes:
    """Filled while a dataset.json is read.

    Attributes:
        faults: Lines, each with its kind; those of one kind are told together. A line without a kind stands alone.
        remarks: What is ignored or read otherwise than it stands there.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, line: str, kind: str = "") -> None:
        """Note a fault."""
        self.faults.append((kind or line, line))

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each kind of fault: its first one, and how many there are more."""
        groups: dict[str, list[str]] = defaultdict(list)
        for kind, line in self.faults:
            groups[kind].append(line)
        return tuple(
            lines[0] + f"; {counted(len(lines) - 1, 'more entry', 'more entries')} alike" * (len(lines) > 1)
            for lines in groups.values()
        )
