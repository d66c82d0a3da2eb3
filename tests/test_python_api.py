"""documentation/python_api.md runs from top to bottom, and every expression gives what the comment behind it says."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[1] / "documentation" / "python_api.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_of(page: str) -> str:
    """The page with everything but its code left blank, so that line numbers are the page's."""
    lines = ["\n"] * page.count("\n")
    for block in BLOCK.finditer(page):
        first = page.count("\n", 0, block.start(1))
        code = block[1].splitlines(keepends=True)
        lines[first : first + len(code)] = code
    return "".join(lines)


def comments_of(code: str) -> dict[int, str]:
    """The comments by their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {token.start[0]: token.string.removeprefix("# ") for token in tokens if token.type == tokenize.COMMENT}


def run(code: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Run the code; of each expression with a comment behind it, its line, what it gave and what was said."""
    comments, names = comments_of(code), dict[str, Any]()
    for statement in ast.parse(code).body:
        said = comments.get(statement.end_lineno or 0)
        if isinstance(statement, ast.Expr) and said is not None:
            value = eval(compile(ast.Expression(statement.value), name, "eval"), names)
            yield statement.lineno, repr(value), said
        else:
            exec(compile(ast.Module([statement], []), name, "exec"), names)


def test_the_page_runs_and_gives_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    results = list(run(code_of(PAGE.read_text()), PAGE.name))

    assert [(line, said) for line, _, said in results] == [(line, gave) for line, gave, _ in results]
    assert len(results) > 10
    assert {path.name for path in tmp_path.iterdir()} == {"autoseg_data"}


def test_the_whole_walk_takes_twenty_lines_and_prints_nothing(tmp_path: Path) -> None:
    code = BLOCK.search(PAGE.read_text())
    assert code is not None
    lines = [line for line in code[1].splitlines() if line and not line.startswith("from ")]

    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code[1]], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(lines) <= 24, "twenty, and the four of a planner of one's own"
    assert [path.name for path in (tmp_path / "autoseg_data" / "predictions").glob("*.nii.gz")] == [
        "phantom_005.nii.gz"
    ]


def test_what_the_page_says_is_compared() -> None:
    page = (
        "text\n\n```python\na = 1  # not looked at\na + 1  # 2\n```\n```\nno code\n```\n```python\na\n[a]  # [2]\n```\n"
    )

    assert list(run(code_of(page), "page")) == [(5, "2", "2"), (12, "[1]", "[2]")]
