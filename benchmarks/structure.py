"""How the source is laid out, in numbers, of one checkout or several side by side: so that a redesign can be judged.

    python benchmarks/structure.py FORMER_CHECKOUT .

Lines are counted as they stand; a function's length leaves out its documentation, its parameters `self` and `cls`.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "autoseg"
Function = ast.FunctionDef | ast.AsyncFunctionDef
MOST_PARAMETERS = 6
REPEATED_LINES = 6
"""So many lines in a row, without blank ones and imports, that stand in two places are a repeat."""

TYPING_ROOMS = ("commands", "jobs")
"""They write command lines, as `command_words` does; all else names settings as Python does."""

OTHER_PROGRAMS = re.compile(r"\b(ulimit|dcm2niix|docker run|pip install)\b[^;,)]*")
"""In advice, with options of their own."""

FORMER_FORMATS = ("imageio.py", "nifti.py", "text_headers.py", "headers.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of the package."""

    path: Path
    lines: tuple[str, ...]
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first folder below the package, or what lies beside them all."""
        return self.path.parts[0] if len(self.path.parts) > 1 else "ground floor"


def read_modules(checkout: Path) -> list[Module]:
    """Every file of a checkout's package, whose paths begin below it."""
    package = checkout / PACKAGE
    texts = {path.relative_to(package): path.read_text() for path in sorted(package.rglob("*.py"))}
    return [Module(path=path, lines=tuple(text.splitlines()), tree=ast.parse(text)) for path, text in texts.items()]


def measure(modules: list[Module]) -> dict[str, str]:
    """Each number by what it is of."""
    functions = [one for module in modules for one in functions_of(module)]
    lengths = sorted(map(length, functions))
    files = sorted(len(module.lines) for module in modules)
    return {
        "files, lines": f"{len(modules)}, {sum(files)}",
        "a file's lines: median, 90 %, longest": _spread(files),
        "a function's lines: median, 90 %, longest": _spread(lengths),
        f"functions of more than {MOST_PARAMETERS} parameters": str(
            sum(parameters(one) > MOST_PARAMETERS for one in functions)
        ),
        "public names defined in two modules": str(len(defined_twice(modules))),
        f"pairs of {REPEATED_LINES} repeated lines": str(repeats(modules)),
        "modules that spell a fold's folder": str(_spelling(modules, lambda text: text.startswith("fold_"))),
        "lines of commands": str(sum(len(one.lines) for one in modules if one.room == "commands")),
        "texts outside commands that name an option": str(len(naming_options(modules))),
        "lines of image formats": str(
            sum(
                len(one.lines)
                for one in modules
                if one.path.name in FORMER_FORMATS or one.path.as_posix().startswith("images/formats/")
            )
        ),
    }


def functions_of(module: Module) -> Iterator[Function]:
    """Functions and methods, those inside others counted, too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines of a function from its first statement to its last."""
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def parameters(function: Function) -> int:
    """Parameters that a caller gives."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def defined_twice(modules: list[Module]) -> set[str]:
    """Public functions and classes of one name in two modules; every command has its own parser and call."""
    where: defaultdict[str, set[Path]] = defaultdict(set)
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, (*Function.__args__, ast.ClassDef)) and not node.name.startswith("_"):
                where[node.name].add(module.path)
    return {name for name, paths in where.items() if len(paths) > 1} - {"add_arguments", "run"}


def repeats(modules: list[Module]) -> int:
    """How many blocks of lines stand in two places."""
    seen: Counter[tuple[str, ...]] = Counter()
    for module in modules:
        lines = [line.strip() for line in module.lines]
        kept = [line for line in lines if line and not line.startswith(("import ", "from ", '"', "#", ")", "]"))]
        seen.update({tuple(kept[at : at + REPEATED_LINES]) for at in range(len(kept) - REPEATED_LINES + 1)})
    return sum(number > 1 for number in seen.values())


def options(modules: list[Module]) -> set[str]:
    """What commands spell as options, as patterns; one that ends in `_` is continued by a value."""
    spelt = {text for module in modules if module.room == "commands" for text in texts(module)}
    return {one + r"\w+" * one.endswith("_") for one in spelt if re.fullmatch(r"--?[a-z]\w*", one)}


def naming_options(modules: list[Module]) -> list[tuple[Path, str]]:
    """Texts of messages in which an option of a command stands, outside of what writes command lines."""
    option = re.compile(rf"(?<![\w-])({'|'.join(options(modules)) or '(?!)'})(?![\w-])")
    return [
        (module.path, text)
        for module in modules
        if module.room not in TYPING_ROOMS and module.path.stem != "command_words"
        for text in texts(module)
        if len(text.split()) > 1 and option.search(OTHER_PROGRAMS.sub("", text))
    ]


def texts(module: Module) -> Iterator[str]:
    """Every text of a module but its documentation."""
    documentation = {
        id(node.value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def rooms(modules: list[Module]) -> dict[str, str]:
    """Files and lines of each room."""
    found = Counter(module.room for module in modules)
    return {
        room: f"{number}, {sum(len(module.lines) for module in modules if module.room == room)}"
        for room, number in sorted(found.items())
    }


def _spelling(modules: list[Module], fits: Callable[[str], bool]) -> int:
    return sum(any(map(fits, texts(module))) for module in modules)


def _spread(numbers: list[int]) -> str:
    return f"{numbers[len(numbers) // 2]}, {numbers[int(0.9 * len(numbers))]}, {numbers[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs="+", help="folders that hold the package")
    checkouts = parser.parse_args().checkouts
    read = [read_modules(checkout) for checkout in checkouts]
    for table in (measure, rooms):
        columns = [table(modules) for modules in read]
        names = list(dict.fromkeys(name for column in columns for name in column))
        print(f"| {'of the whole' if table is measure else 'room: files, lines'} |", *(f"{one} |" for one in checkouts))
        print("|---|" + "---|" * len(checkouts))
        for name in names:
            print(f"| {name} |", *(f"{column.get(name, '-')} |" for column in columns))
        print()


if __name__ == "__main__":
    main()
