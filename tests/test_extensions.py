"""Classes found by name: ours, or in the user's own file."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from autoseg.errors import ExtensionError
from autoseg.extensions import files_beside, find_class, find_fault, import_file
from autoseg.geometry import reorder


class Recipe:
    epochs = 1000


class Short(Recipe):
    epochs = 20


SHIPPED = ModuleType("shipped")
SHIPPED.Recipe, SHIPPED.Short, SHIPPED.Path = Recipe, Short, Path  # type: ignore[attr-defined]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_shipped_class_is_found_by_its_name() -> None:
    assert find_class("Short", base=Recipe, modules=[SHIPPED]) is Short
    assert find_class("Short", base=Recipe, modules=[SHIPPED, SHIPPED]) is Short


def test_a_class_in_the_users_own_file_is_found_and_may_import_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "neighbour_of_mine.py", "EPOCHS = 7\n")
    file = write(
        tmp_path / "mine.py",
        "from pathlib import Path\nfrom neighbour_of_mine import EPOCHS\nclass Mine(Path): epochs = EPOCHS\n",
    )

    found = find_class(f"{file}:Mine", base=Path, modules=[])

    assert found.__name__ == "Mine"
    assert found.epochs == 7  # type: ignore[attr-defined]
    assert str(tmp_path) not in sys.path


def test_a_file_called_like_a_library_does_not_take_its_place(tmp_path: Path) -> None:
    json_before = sys.modules["json"] if "json" in sys.modules else __import__("json")

    module = import_file(Path(write(tmp_path / "json.py", "MINE = 3\n")))

    assert module.MINE == 3
    assert sys.modules["json"] is json_before
    assert sys.modules[module.__name__] is module


@pytest.mark.parametrize("name", ["Shot", "Path", "", "mine.py"])
def test_an_unknown_class_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        find_class(name, base=Recipe, modules=[SHIPPED])

    assert str(caught.value) == (
        f"0 Recipe classes are called {name!r}; known: Recipe, Short. "
        "Name a class of your own as path/to/file.py:ClassName."
    )


def test_two_classes_of_one_name_are_refused() -> None:
    other = ModuleType("other")
    other.Short = type("Short", (Recipe,), {})  # type: ignore[attr-defined]

    with pytest.raises(ExtensionError, match="2 Recipe classes are called 'Short'; known: Recipe, Short"):
        find_class("Short", base=Recipe, modules=[SHIPPED, other])


def test_a_file_that_is_absent_or_fails_is_named_with_its_cause(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match=r"absent\.py: no such file; name a class of your own as path/to/file"):
        find_class(f"{tmp_path}/absent.py:Mine", base=Recipe, modules=[])

    for text, cause in [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def (:", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ]:
        with pytest.raises(ExtensionError, match=re.escape(f"bad.py: importing it failed: {cause}")):
            find_class(f"{write(tmp_path / 'bad.py', text)}:Mine", base=Recipe, modules=[])
    with pytest.raises(ExtensionError, match=r"notes\.txt: not a Python file"):
        import_file(Path(write(tmp_path / "notes.txt", "")))


OWN = """
import json
from autoseg.geometry import reorder

def own():
    raise KeyError("mine")

def of_a_library():
    return json.loads("{")

def of_autoseg():
    return reorder((1, 2), (5,))

def called_by_autoseg():
    return reorder(Sequence(), (0,))

class Sequence:
    def __getitem__(self, index):
        return 1 / index
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own", 'raise KeyError("mine")'),
        ("of_a_library", 'return json.loads("{")'),
        ("of_autoseg", None),
        ("called_by_autoseg", "return 1 / index"),
    ],
)
def test_whose_fault_an_error_is(tmp_path: Path, name: str, line: str | None) -> None:
    """The user's where their file was the last of theirs and ours to act; the traceback begins there."""
    path = tmp_path / "own.py"
    module = import_file(Path(write(path, OWN)))
    with pytest.raises(Exception) as caught:
        getattr(module, name)()

    fault = find_fault(caught.value)

    if line is None:
        assert fault is None
    else:
        assert fault is not None
        assert fault.file == str(path)
        assert OWN.splitlines()[fault.line - 1].strip() == line
        assert traceback.extract_tb(fault.traceback)[0].filename == str(path)


def test_an_error_without_a_file_of_the_users_is_ours() -> None:
    with pytest.raises(IndexError) as caught:
        reorder((1, 2), (5,))
    assert find_fault(caught.value) is None


def test_the_users_files_are_told_by_what_they_import_beside_them(tmp_path: Path) -> None:
    write(
        tmp_path / "mine.py",
        "import numpy, own_losses\nfrom own_parts.blocks import Block\nfrom autoseg import paths\n",
    )
    write(tmp_path / "own_losses.py", "from own_numbers import ALPHA\nimport mine\n")
    write(tmp_path / "own_numbers.py", "ALPHA = 1")
    write(tmp_path / "unused.py", "")
    for name in ("own_parts/__init__.py", "own_parts/blocks.py", "own_parts/unused.py", "autoseg/paths.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, "import own_numbers")

    names = [str(path.relative_to(tmp_path)) for path in files_beside(tmp_path / "mine.py")]
    assert names == ["own_losses.py", "own_numbers.py", "own_parts/__init__.py", "own_parts/blocks.py"]
    write(tmp_path / "broken.py", "import own_losses (")
    assert files_beside(tmp_path / "broken.py") == files_beside(tmp_path / "absent.py") == ()
