"""The ordered list of rooms: a room imports only rooms to its left, inside functions too."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoseg.commands.settings import NAMED, SEVERAL, TYPED, typed

ROOMS = (
    "module_path words arrays errors remedies terminal versions forms geometry machine files extensions command_words images dataset plans paths catalogue outputs evaluation networks "
    "preprocessing views planning postprocessing inference training ensembling "
    "conversion sharing prediction reporting jobs diagnosis commands __main__"
).split()
TORCH = {"networks", "views", "inference", "training", "reporting"}
PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "autoseg"
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
    assert "SimpleITK" not in packages, "it crashes on damaged headers"
    assert "nibabel" not in packages or path.parent.name == "formats", "only a format opens image files"


@pytest.mark.parametrize("room", ["", ".planning", ".preprocessing", ".postprocessing", ".evaluation", ".commands"])
def test_what_needs_no_training_imports_no_torch(room: str) -> None:
    code = f"import sys, autoseg{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NAMED_ARRAYS = re.compile(r"NDArray\[(Any|np\.(float32|float64|floating\[Any\]|integer\[Any\]|bool_|intp))\]")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_arrays_hold_is_named_in_one_place(path: Path) -> None:
    found = [line for line in path.read_text().splitlines() if NAMED_ARRAYS.search(line)]
    assert path.name == "arrays.py" or not found, f"{path}: take the name from arrays: {found}"


def test_as_many_workers_are_started_as_memory_holds() -> None:
    """A process a core, where nobody asks what each needs, is for those that hold no volume: hashes of files."""
    careless = [path.name for path in FILES if "workers=available_cores(" in path.read_text()]
    assert careless == ["selected.py"]


SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"}
UNPICKLERS = {"pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "joblib.load", "pandas.read_pickle"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_run_and_no_shell_is_started(path: Path) -> None:
    for call in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]:
        name, given = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in SHELLS, f"{path}, line {call.lineno}: {name}"
        assert given.get("shell", "False") == "False", f"{path}, line {call.lineno}: a shell"
        assert given.get("allow_pickle", "False") == "False", f"{path}, line {call.lineno}: an array of objects"
        if name in UNPICKLERS:
            assert path.name == "pickles.py", (
                f"{path}, line {call.lineno}: only files.pickles reads pickles, opcode by opcode"
            )
        if name == "torch.load":
            assert given.get("weights_only") == "True", f"{path}, line {call.lineno}: without weights_only"
        if name == "np.load":
            assert given.get("allow_pickle") == "False", f"{path}, line {call.lineno}: with pickles"


NAMES = (
    "fold_ weights_ checkpoint.pt run.json history.json history.csv progress.png training.log debug.json architecture.txt "
    "architecture.png lr_finder.png validation_raw previous_stage plans.pkl plans.json _plans_ postprocessing.json model_card. "
    "dataset.json metadata.tsv patients.json fingerprint.json fingerprint_source.json splits_final.json gt_segmentations "
    "selection.json prediction.json report.json summary.json summary.csv prediction_commands.txt lock.json journal.json "
    ".setting_aside .discarded"
).split()


def texts_of(path: Path) -> Iterator[str]:
    """Every text of a module that can be a part of a path: no sentence, and no documentation."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield from [node.value] if len(node.value.split()) == 1 else []


SPELLING = {PACKAGE / "files" / "layout.py", PACKAGE / "files" / "model_folder.py"}


@pytest.mark.parametrize("path", sorted(set(FILES) - SPELLING), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_of_files_are_spelled_where_all_are(path: Path) -> None:
    """Whoever writes or reads a file asks the room of files for its name, and what a folder's name says."""
    spelled = {text for text in texts_of(path) if any(name in text for name in NAMES)}
    assert spelled <= {"weights_sha256", "load_plans_json"}, "ask files.layout, or the folder, for the name"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_spelled_once(name: str) -> None:
    assert len({path for path in SPELLING if any(name in text for text in texts_of(path))}) == 1


TARGET_MODULES = {"dataset/coding.py", "dataset/target.py", "networks/activations.py"}
"""What knows the convention of a target: which numbers labels are, and what scores say of them."""

OF_ACTIVATIONS = {"softmax", "log_softmax", "sigmoid", "logsigmoid", "one_hot", "scatter_", "cross_entropy", "nll_loss"}
LARGEST_OF_OTHER_THINGS = {
    "geometry.py": "the side that an axis points to",
    "images/magnitudes.py": "the places of the extremes",
    "evaluation/summary.py": "a value beyond all labels",
    "planning/near_copies.py": "the image that looks most alike",
    "planning/spacing.py": "the axis of the largest voxels",
    "postprocessing/components.py": "the largest component",
    "reporting/drawing.py": "the fullest slice",
    "inference/probability_codes.py": "the class that a file of format 2 does not hold",
}
ITS_OWN_WORDS = {"planning/label_inspection.py"}
"""Speaks of the numbers in dataset.json, also where they are wrong and make no target."""


def spelled_conventions(path: Path) -> Iterator[str]:
    """Places that know by themselves what a target has to say."""
    name = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(ast.parse(path.read_text())):
        source = ast.unparse(node) if isinstance(node, (ast.Call, ast.Attribute, ast.Assign, ast.Subscript)) else ""
        if isinstance(node, ast.Attribute) and node.attr in OF_ACTIVATIONS:
            if not ast.unparse(node.value).endswith("activation"):
                yield f"line {node.lineno}: {source}"
        elif isinstance(node, ast.Attribute) and node.attr == "argmax" and name not in LARGEST_OF_OTHER_THINGS:
            yield f"line {node.lineno}: {source}"
        elif isinstance(node, ast.Call) and re.match(r"range\(1, len\(.*(label|name|output|class)\w*\)\)$", source):
            if name not in ITS_OWN_WORDS:
                yield f"line {node.lineno}: {source}"
        elif (
            (isinstance(node, ast.Call) and re.match(r"len\(.*(plans?|fingerprint|dataset|model)\.labels\)$", source))
            or (isinstance(node, ast.Subscript) and re.search(r"\b(labels|outputs)\[1:\]$", source))
            or (isinstance(node, ast.Assign) and re.match(r"\w*OUTSIDE\w* = -1$", source))
        ):
            yield f"line {node.lineno}: {source}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_predicted_is_asked_of_the_target(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() not in TARGET_MODULES:
        assert not list(spelled_conventions(path)), f"{path}: ask the target, or its activation"


def test_spelled_conventions_are_found_where_they_are_at_home() -> None:
    at_home = [" ".join(spelled_conventions(PACKAGE / name)) for name in sorted(TARGET_MODULES)]

    assert re.search(r"OUTSIDE = -1.*", at_home[0])
    assert all(word in at_home[-1] for word in ("softmax", "log_softmax", "scatter_", "cross_entropy"))
    assert all((PACKAGE / name).is_file() for name in (*LARGEST_OF_OTHER_THINGS, *ITS_OWN_WORDS))


NO_SETTINGS = {"all", "annotated", "levels", "network.name", "val"}
"""What else stands between backticks in messages: a fold, and entries of files, which no command has an option for."""


def whole_texts(path: Path) -> Iterator[str]:
    """Texts but documentation; the values in formatted ones left out."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    left_out = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            left_out.update(map(id, node.values))
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def test_every_name_in_a_message_is_a_setting_and_every_setting_is_named() -> None:
    library = [path for path in FILES if path.parent.name != "commands"]
    named = {found for path in library for text in whole_texts(path) for found in NAMED.findall(text)}
    unknown = {one for one in named if typed(f"`{one}`") == f"`{one}`"}
    assert unknown == NO_SETTINGS, (
        "commands/settings.py says how a setting is typed; what is none stands in NO_SETTINGS"
    )
    parts = {part for one in named for part in SEVERAL.split(one)}
    assert set(TYPED) <= parts | {part.partition("=")[0] for part in parts}


def test_the_library_names_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    structure = importlib.import_module("structure")
    found = [f"{path}: {text}" for path, text in structure.naming_options(structure.read_modules(PROJECT))]
    assert not found, "\n".join(["name the setting as Python does; commands/settings.py says how it is typed", *found])


def test_what_a_function_takes_beyond_six_parameters_is_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    structure = importlib.import_module("structure")
    functions = [
        (module.path, one) for module in structure.read_modules(PROJECT) for one in structure.functions_of(module)
    ]
    found = [f"{path}: {one.name}" for path, one in functions if structure.parameters(one) > structure.MOST_PARAMETERS]
    assert len(found) <= 3, found
