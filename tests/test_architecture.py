"""The ordered list of rooms: a room imports only rooms to its left, inside functions too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (
    "errors geometry storage processes locking dataset plans extensions machine workers parallel nifti text_headers headers imageio evaluation networks "
    "preprocessing planning postprocessing inference training ensembling "
    "conversion sharing reporting jobs diagnosis paths commands __main__"
).split()
TORCH = {"networks", "inference", "training", "reporting", "commands"}
PACKAGE = Path(__file__).resolve().parents[1] / "autoseg"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    names = [name.split(".") for name in imported(path)]
    rooms = {parts[1] for parts in names if parts[0] == "autoseg" and len(parts) > 1} - {"__version__", room}

    wrong = sorted(other for other in rooms if ROOMS.index(other) > ROOMS.index(room))
    assert not wrong, f"{room} stands left of {wrong}"
    packages = {parts[0] for parts in names}
    assert "torch" not in packages or room in TORCH, "only the training stack imports torch"
    assert "SimpleITK" not in packages or room == "imageio", "only imageio knows SimpleITK"


@pytest.mark.parametrize("room", ["", ".planning", ".preprocessing", ".postprocessing", ".evaluation", ".commands"])
def test_what_needs_no_training_imports_no_torch(room: str) -> None:
    code = f"import sys, autoseg{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
