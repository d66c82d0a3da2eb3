"""The documentation says what is so: every command, option, key, link and example in it is held against the program."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.commands.running import build_parser
from autoseg.commands.umbrella import GROUPS, find_command
from autoseg.dataset.facts import Facts
from autoseg.ensembling.selection import Lead, Member, Selection
from autoseg.evaluation.metrics import Counted, score_arrays
from autoseg.evaluation.summary import CaseScores, Summary, save_summary
from autoseg.extensions import find_class, import_file
from autoseg.files.locking import Holder
from autoseg.files.records import write_record
from autoseg.files.storage import read_json
from autoseg.geometry import Geometry
from autoseg.inference.fusion import Fusion
from autoseg.inference.fusion_record import FusionRecord
from autoseg.inference.guard import CaseReport, InputReport, TrainingLooks
from autoseg.inference.model import TrainedModel, WeightsFile
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import PackedProbabilities
from autoseg.inference.record import save_record
from autoseg.inference.settings import Computation
from autoseg.jobs.journal import Record
from autoseg.machine.processes import ProcessIdentity
from autoseg.networks import build_network
from autoseg.planning import Planner3D
from autoseg.planning.appearance import IntensityRange
from autoseg.planning.comparison import FalseAlarms, make_reference
from autoseg.planning.fingerprint import DatasetFingerprint, save_fingerprint
from autoseg.planning.input_warnings import InputWarning
from autoseg.planning.limits import Limits
from autoseg.plans import (
    ConfigurationPlan,
    Grid,
    IntensityRule,
    IntensityStatistics,
    NetworkPlan,
    Plans,
    Sampling,
    UNetSettings,
)
from autoseg.postprocessing.evidence import CaseDice, Comparison, Evidence, JudgedRule
from autoseg.postprocessing.rules import Rule
from autoseg.preprocessing.prepare import CaseProperties
from autoseg.preprocessing.store import FORMAT, Marker, PreparedCases, SharedCase
from autoseg.sharing.card import AboutData, ModelCard, ModelEntry
from autoseg.sharing.manifest import FileEntry, Manifest
from autoseg.sharing.models import LabelDice
from autoseg.training import Split, Trainer
from autoseg.training.fold.conditions import conditions_of
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.history import EpochRecord
from autoseg.training.start import new_state

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTATION = PROJECT / "documentation"
PAGES = sorted(DOCUMENTATION.glob("*.md"))
COMMANDS = [name for names in GROUPS.values() for name in names]
LARGEST_PICTURE_BYTES = 80_000
EVERYWHERE = {"-h", "--help", "--home", "-v", "--verbose", "--version"}


FINGERPRINT = DatasetFingerprint(
    channels=("MRI",),
    labels=("background", "organ"),
    cases=tuple(f"case_{number}" for number in range(20)),
    spacings=((1.0, 1.0, 1.0),) * 20,
    shapes=((36, 50, 35),) * 20,
    kept_fractions=(1.0,) * 20,
    intensities=(
        IntensityStatistics(
            mean=100, sd=10, median=99, minimum=50, maximum=150, percentile_00_5=80, percentile_99_5=120
        ),
    ),
    directions=(Geometry(spacing=(1.0, 1.0, 1.0)).direction,) * 20,
    intensity_ranges=(
        (IntensityRange(**{name: 10.0 * number for number, name in enumerate(IntensityRange.__slots__)}),),
    )
    * 20,
)


MARKER = Marker(
    signature="of what it was made from",
    segmentation=True,
    foreground={},
    half=True,
    properties=CaseProperties(
        identifier="case",
        geometry=Geometry(spacing=(1.0, 1.0, 1.0)),
        original_shape=(36, 50, 35),
        crop=((0, 36), (0, 50), (0, 35)),
        transpose_forward=(0, 1, 2),
        cropped_shape=(36, 50, 35),
        spacing=(1.0, 1.0, 1.0),
        prepared_spacing=(1.0, 1.0, 1.0),
        prepared_shape=(36, 50, 35),
    ),
)


class Tiny3D(Planner3D):
    features = 2


PLANS = Tiny3D(fingerprint=FINGERPRINT, dataset="Task001_Test").plan()


def a_trainer(kind: type[Trainer], folder: Path) -> Trainer:
    """A trainer of tiny networks, of which nothing is trained."""
    return kind(
        FoldData(
            plans=PLANS,
            configuration="3d_fullres",
            cases=PreparedCases(folder / "prepared"),
            split=Split(training=("case_0",), validation=("case_1",)),
            output=folder / "fold_0",
            references=folder / "references",
        ),
        device="cpu",
    )


def actions_of(name: str) -> list[argparse.Action]:
    return build_parser(find_command(name), name)._actions


def options_of(name: str) -> set[str]:
    return {option for action in actions_of(name) for option in action.option_strings}


def sections(page: Path) -> dict[str, str]:
    """The text under each heading of the second level, by the heading."""
    parts = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text: str) -> str:
    """The first column of all tables, where options and keys stand."""
    return "\n".join(re.findall(r"^\|(.+?)(?<!\\)\|", text, re.MULTILINE))


def code_blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# ------------------------------------------------------------------------------------- README


@pytest.mark.parametrize("command", ["pip install -e . && autoseg_demo", 'pip install -e ".[test]" && pytest'])
def test_the_readme_holds_the_two_commands_that_do_all_the_set_up(command: str) -> None:
    assert f"{command}\n" in code_blocks((PROJECT / "README.md").read_text())


def test_the_readme_links_to_every_page() -> None:
    linked = re.findall(r"\]\(documentation/(\w+\.md)\)", (PROJECT / "README.md").read_text())

    assert sorted(set(linked)) == [page.name for page in PAGES]


def test_the_readme_begins_with_a_picture_of_a_result() -> None:
    begin = re.match(r"# autoseg\n\n!\[.+\]\((documentation/\w+\.png)\)\n", (PROJECT / "README.md").read_text())

    assert begin is not None
    assert (PROJECT / begin[1]).read_bytes().startswith(b"\x89PNG")
    assert (PROJECT / begin[1]).stat().st_size <= LARGEST_PICTURE_BYTES


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [PROJECT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        other = page if not path else page.parent / path
        assert other.exists(), f"{page.name}: {target}"
        headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(slug, headings), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [PROJECT / "README.md", *PAGES], ids=lambda page: page.name)
def test_command_lines_hold_only_options_that_exist(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"(?:^ *|`)autoseg[_ ](\w+)([^`#\n]*)", text, re.MULTILINE)
    for name, words in [(name, words) for name, words in lines if name in COMMANDS]:
        options = set(re.findall(r"(?<![\w/.-])--?[A-Za-z]\w*", words))
        assert options <= options_of(name), f"{page.name}: autoseg_{name}{words}"


# ---------------------------------------------------------------------------------- commands.md


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_page_lists_exactly_the_options_of_each_command(name: str) -> None:
    cells = first_cells(sections(DOCUMENTATION / "commands.md")[f"autoseg_{name}"])
    positionals = {str(action.metavar) for action in actions_of(name) if not action.option_strings}

    assert set(re.findall(r"`(--?[A-Za-z]\w*)", cells)) == options_of(name) - EVERYWHERE
    assert set(re.findall(r"`([A-Z|\\]+)`", cells)) == {metavar.replace("|", "\\|") for metavar in positionals}


def test_commands_page_says_what_all_commands_share() -> None:
    assert (
        set(re.findall(r"`(--?[a-z]+)", first_cells(sections(DOCUMENTATION / "commands.md")["Everywhere"])))
        == EVERYWHERE
    )


# ------------------------------------------------------------------------------------- files.md


def keys_of(value: object) -> set[str]:
    """The keys of a file's content at every depth; of mappings by label, case or step only what is inside."""
    if isinstance(value, dict):
        named = {key for key in value if not key.isdecimal()}
        return named.union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def fields_of(*kinds: type) -> set[str]:
    return {field.name for kind in kinds for field in fields(kind)}


FILES = {
    "Plans": fields_of(
        Plans, ConfigurationPlan, IntensityStatistics, Grid, Sampling, NetworkPlan, UNetSettings, IntensityRule
    ),
    "Prepared cases": fields_of(Marker, SharedCase, CaseProperties, Geometry) | {"format"},
    "postprocessing.json": fields_of(Rule, Evidence, Comparison, JudgedRule, CaseDice)
    | {"format", "rules", "evidence"},
    "selection.json": fields_of(Selection, Member, Lead) | {"format"},
    "fusion.json": fields_of(FusionRecord, Fusion) | {"format"},
    "report.json": fields_of(InputReport, TrainingLooks, CaseReport, FalseAlarms, Limits, InputWarning) | {"format"},
    "journal.json": fields_of(Record, ProcessIdentity, Holder) | {"format", "steps"},
    "Model archive": fields_of(Manifest, FileEntry, ModelCard, AboutData, ModelEntry, LabelDice) | {"format"},
    "Probabilities": fields_of(PackedProbabilities) - {"geometry"} | (fields_of(Geometry) - {"in_pixels"}) | {"format"},
    "previous_stage": {"format", "signature"},
    "splits_final.json": {"train", "val"},
}


def test_every_measure_of_an_input_report_is_explained() -> None:
    found = [
        name for channel in ("CT", "MRI") for name in make_reference(replace(FINGERPRINT, channels=(channel,))).limits
    ]
    assert len(found) == 7 + 3 + 7 + 4
    assert set(found) - explained("report.json") == set()


def explained(heading: str) -> set[str]:
    """The words in code style of a section of the page on files."""
    spans = re.findall(r"`([^`\n]+)`", sections(DOCUMENTATION / "files.md")[heading])
    return {word for span in spans for word in (span, *span.split(", "))}


@pytest.mark.parametrize("heading", FILES)
def test_every_key_of_a_file_is_explained(heading: str) -> None:
    assert FILES[heading] - explained(heading) == set()


def test_every_key_of_the_fingerprint_is_explained(tmp_path: Path) -> None:
    save_fingerprint(FINGERPRINT, tmp_path / "fingerprint.json")

    assert keys_of(read_json(tmp_path / "fingerprint.json")) - explained("fingerprint.json") == set()


def test_every_key_and_metric_of_a_summary_is_explained(tmp_path: Path) -> None:
    cube = np.zeros((4, 4, 4), np.uint8)
    cube[1:3, 1:3, 1:3] = 1
    scores = score_arrays(cube, cube, Counted.of([1]), spacing=(1.0, 1.0, 1.0))
    case = CaseScores(test="a", reference="b", scores=scores, facts=Facts(known=(("site", "unf"),)))
    summary = Summary(name="x", task="y", timestamp="z", labels=(1,), cases=(case,))
    save_summary(summary, tmp_path / "summary.json")

    assert keys_of(read_json(tmp_path / "summary.json")) - explained("summary.json") == {"a", "site"}


def test_every_key_of_a_prediction_is_explained(tmp_path: Path) -> None:
    model = TrainedModel(
        plans=PLANS,
        configuration="3d_fullres",
        networks=(build_network(PLANS.configuration("3d_fullres"), 1, 2),),
        mirror_axes=(0,),
        folds=("0",),
    )
    save_record(tmp_path / "prediction.json", Predictor(model, Computation(device="cpu")), (), tmp_path)

    assert keys_of(read_json(tmp_path / "prediction.json")) - explained("prediction.json") == set()


def test_every_key_of_a_fold_is_explained(tmp_path: Path) -> None:
    trainer = a_trainer(Trainer, tmp_path)
    state = new_state(trainer, seed=0)
    trainer.bookkeeping.describe(state.network)
    for case in ("case_0", "case_1"):
        write_record(trainer.cases.folder / f"{case}.json", MARKER, FORMAT)
    checkpoint = conditions_of(trainer, 0) | state.to_checkpoint()
    trainer.bookkeeping.begin_record(0, state, (), continued=False)
    numbers = set(read_json(trainer.output / "run.json")["recipe"]["values"])
    found = (
        keys_of(read_json(trainer.output / "debug.json"))
        | keys_of(read_json(trainer.output / "run.json"))
        | set(checkpoint)
        | set(checkpoint["sums"])
        | fields_of(EpochRecord, WeightsFile)
    )

    assert found - explained("A fold's folder") - numbers == set()


# --------------------------------------------------------------------------------- extending.md

EXAMPLES = {
    block.partition("\n")[0].removeprefix("# "): block
    for block in code_blocks((DOCUMENTATION / "extending.md").read_text(), "python")
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page tells to write."""
    folder = tmp_path_factory.mktemp("examples")
    for name, block in EXAMPLES.items():
        (folder / name).write_text(block)
    return folder


def example(file: str, name: str, folder: Path) -> Any:
    return getattr(import_file(folder / file), name)


def test_every_class_named_on_a_command_line_is_in_a_block_of_the_page(examples: Path) -> None:
    named = set(re.findall(r"\b(my_\w+\.py):(\w+)", (DOCUMENTATION / "extending.md").read_text()))

    assert len(named - {("my_file.py", "MyClass")}) >= 5
    for file, name in named - {("my_file.py", "MyClass")}:
        assert find_class(f"{examples / file}:{name}", base=object, modules=[]).__name__ == name


@pytest.mark.parametrize(
    "reference",
    [
        "my_trainer.py:ShortTrainer",
        "my_loss.py:TverskyTrainer",
        "my_recipe.py:GentleTrainer",
        "my_sides.py:SidesTrainer",
        "my_network.py:PlainTrainer",
        "my_windows.py:WindowsTrainer",
    ],
)
def test_trainers_of_the_page_can_learn(reference: str, examples: Path, tmp_path: Path) -> None:
    trainer = a_trainer(find_class(f"{examples / reference}", base=Trainer, modules=[]), tmp_path)
    network = trainer.build_network(trainer.plan, 1, 2)
    output = network(torch.zeros(1, 1, *trainer.plan.sampling.patch_size))
    finest = output[0] if isinstance(output, list) else output
    loss = trainer.build_loss()(finest, torch.zeros(1, *trainer.plan.sampling.patch_size, dtype=torch.long))
    loss.backward()
    trainer.build_optimizer(network).step()
    trainer.build_augmentation()

    assert finest.shape == (1, 2, 40, 56, 40)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_examples_do_what_the_page_says(examples: Path, tmp_path: Path) -> None:
    short = a_trainer(example("my_trainer.py", "ShortTrainer", examples), tmp_path)
    assert (short.epochs, short.learning_rate(0), short.learning_rate(20)) == (20, 0.005, 0)

    sure = torch.tensor([[-50.0, 50.0], [50.0, -50.0]]).T[None, :, None]  # label 1, then background
    tversky = example("my_loss.py", "TverskyLoss", examples)()
    assert tversky(sure, torch.tensor([[[1, 0]]])).item() == pytest.approx(-1)
    assert tversky(sure, torch.tensor([[[1, 1]]])).item() == pytest.approx(-1 / 1.7, abs=1e-4)  # one voxel is missed
    assert tversky(sure, torch.tensor([[[0, 0]]])).item() == pytest.approx(0, abs=1e-4)

    gentle = a_trainer(example("my_recipe.py", "GentleTrainer", examples), tmp_path)
    assert [gentle.learning_rate(epoch) for epoch in (0, 500, 1000)] == pytest.approx([0.0003, 0.00015, 0])
    assert gentle.augmentation.rotation == 10

    assert a_trainer(example("my_sides.py", "SidesTrainer", examples), tmp_path).mirror_axes == (0, 1)

    image = torch.tensor([40.0, 240.0, -600.0]).reshape(1, 1, 3)
    seen = example("my_windows.py", "Windows", examples)()(torch.cat([image, image + 1], dim=1))
    assert seen[0].tolist() == [
        pytest.approx([0, 0.5, -0.5]),
        pytest.approx([640 / 1500, 0.5, 0]),
        pytest.approx([-0.23, -0.13, -0.5]),
        [41, 241, -599],
    ]


def test_planners_of_the_page_plan(examples: Path) -> None:
    def plans(file: str, name: str) -> Plans:
        planner = example(file, name, examples)
        made: Plans = planner(fingerprint=FINGERPRINT, dataset="Task001_Test").plan()
        return made

    fine = plans("my_planner.py", "FinePlanner3D")
    assert fine.identifier == "FinePlanner3D"
    assert fine.configurations["3d_fullres"].grid.spacing == (0.5, 0.5, 0.5)
    assert fine.configurations["3d_fullres"].grid.median_shape == (72, 100, 70)
    assert fine.configurations["3d_fullres"].network.unet().features == 16
    for name, configuration in (("FixedUnit3D", "3d_fullres"), ("FixedUnit2D", "2d")):
        assert plans("my_normalisation.py", name).configurations[configuration].intensities == (
            IntensityRule(name="CT"),
        )


def test_the_page_lists_the_rooms_in_their_order() -> None:
    text = sections(DOCUMENTATION / "extending.md")["Where a change belongs in autoseg itself"]
    listed = [
        name for cell in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    rooms = {path.stem for path in (PROJECT / "autoseg").iterdir() if not path.name.startswith("_")}

    assert set(listed) == rooms
    assert [*listed, "__main__"] == rooms_in_order()


def rooms_in_order() -> list[str]:
    """The list that the architecture is tested with."""
    text = (PROJECT / "tests" / "test_architecture.py").read_text()
    block = text.partition("ROOMS = (")[2].partition(")")[0]
    return " ".join(re.findall(r'"(.*?)"', block)).split()
