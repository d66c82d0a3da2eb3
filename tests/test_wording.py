"""What is said of a number reads right for 0, 1 and many, everywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "autoseg"
FILES = sorted(PACKAGE.rglob("*.py"))

COUNTED = (
    "batches bytes candidates cases channels classes convolutions cores days degrees digits dimensions entries epochs "
    "errors faults files folders folds groups images kernels labels levels models packages patches patients "
    "pictures plans predictions problems samples segmentations seconds segments slices steps strides tasks tiles times "
    "trainings values volumes voxels warnings workers"
).split()
PLURALS = "|".join(COUNTED)
"""What is counted here."""

NUMBER = re.compile(r"(len|sum|max|min|round|abs)\(|\w*(count|number)\b|[\w.]+ [-+] ")
"""Expressions that give a number, whatever stands after them."""

EXTENT = re.compile(r"shape|patch|pools|join\(|_times\(|_listed\(|_voxels\(")
"""Expressions shown as several numbers, or words: `48 x 64 voxels`."""

BETWEEN = r"(?!(of|x|in|and|as|by|with|without|names|take|takes|has|have|hold|holds)\b)([\w-]+ )?"
"""At most an adjective."""

VERB = r"(is|are|was|were|has|have|does|do)\b"
NO_PLURAL = r"(?!(gives|holds|says|takes|this)\b)"
FORMATTED = rf"%\d*d {BETWEEN}\w{{3,}}s\b|%s {BETWEEN}({PLURALS})\b"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_number_stands_before_a_plural(path: Path) -> None:
    """Numbers are said by `counted`; constants, extents and decimals are let through."""
    wrong = [f"{path}, line {line}: {said}" for line, said in plurals_after_numbers(ast.parse(path.read_text()))]
    assert not wrong, "\n".join(["say it with counted(number, noun) or agreeing(number, one, many)", *wrong])


@pytest.mark.parametrize(
    "code",
    [
        'f"{number} cases"',
        'f"{len(names)} odd things"',
        'f"{a} of {b} training cases"',
        'f"{seconds:.0f} days"',
        '"%d cases" % number',
        'log.info("%s: %d more things", name, number)',
        'log.info("%s workers", number)',
        "f\"{counted(number, 'case')} are\"",
        "f\"{number} of {counted(total, 'case')} have\"",
        "'s' if number != 1 else ''",
        "'case' if len(names) == 1 else 'cases'",
        "'is' if number == 1 else 'are'",
    ],
)
def test_the_search_finds_them(code: str) -> None:
    assert list(plurals_after_numbers(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "f\"{counted(number, 'case is', 'cases are')} there\"",
        'f"{path} has cases"',
        'f"{number} case"',
        'f"{seconds:.1f} days"',
        'f"at most {MOST_FILES} files"',
        '"%s: %s of %d"',
        "files[0] if len(files) == 1 else None",
    ],
)
def test_the_search_leaves_the_rest_alone(code: str) -> None:
    assert not list(plurals_after_numbers(ast.parse(code)))


def plurals_after_numbers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and texts in which what may be a number stands before a plural, or a word is chosen by hand."""
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and not _is_noun(parents[id(node)]):
            yield from ((node.lineno, said) for said in _in_joined(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not isinstance(parents[id(node)], ast.Expr | ast.JoinedStr):  # docstrings, parts of the above
                yield from ((node.lineno, found[0]) for found in re.finditer(FORMATTED, node.value))
        elif isinstance(node, ast.IfExp) and _chooses_a_word(node):
            yield node.lineno, ast.unparse(node)


def _in_joined(node: ast.JoinedStr) -> Iterator[str]:
    for part, following in pairwise(node.values):
        if not isinstance(part, ast.FormattedValue) or not isinstance(following, ast.Constant):
            continue
        value, words = ast.unparse(part.value), str(following.value)
        if value.startswith("counted("):
            found = re.match(rf" {VERB}", words)
        elif value.isupper() or EXTENT.search(value) or _has_decimals(part):
            continue  # whoever writes a constant sees it; 1.0 days
        else:
            plural = r"\w{3,}s" if NUMBER.match(value) else PLURALS
            found = re.match(rf" {NO_PLURAL}{BETWEEN}({plural})\b", words)
        if found:
            yield f"{{{value}}}{found[0]}"


def _is_noun(parent: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and ast.unparse(parent.func) in ("counted", "agreeing")


def _has_decimals(part: ast.FormattedValue) -> bool:
    return part.format_spec is not None and bool(re.search(r"\.[1-9][fg]", ast.unparse(part.format_spec)))


def _chooses_a_word(node: ast.IfExp) -> bool:
    """`"case" if number == 1 else "cases"`."""
    both = isinstance(node.body, ast.Constant) and isinstance(node.orelse, ast.Constant)
    texts = both and isinstance(node.body.value, str) and isinstance(node.orelse.value, str)
    return texts and bool(re.search(r"[!=]= 1$", ast.unparse(node.test)))
