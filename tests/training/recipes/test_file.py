"""Recipe files: what they say, what they may not say, and that a model holds to what its recipe said."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_plans import unet_plan
from torch import nn

from autoseg.catalogue import Catalogue, Part, Settings
from autoseg.errors import ExtensionError, Interrupted, ModelError, PlanError, TrainingError
from autoseg.extensions import import_file
from autoseg.files.storage import read_json, write_json
from autoseg.inference.model import load_model, load_weights, save_weights
from autoseg.networks.build import build_named_network
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import RECIPES, Split, Trainer, TrainingSettings, find_trainer, read_recipe, write_recipe
from autoseg.training.augmentation.steps import STEPS
from autoseg.training.fold.data import FoldData
from autoseg.training.recipes.file import CATALOGUES, as_content, explained
from autoseg.training.recipes.recipe import DEFAULT, Recipe
from autoseg.training.recipes.tries import write_tried

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])

MakeTrainer = Callable[..., Trainer]


def write(folder: Path, content: Any, name: str = "mine.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def trainer(store: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(reference: str | Path, fold: str = "fold_0", **settings: Any) -> Trainer:
        chosen = find_trainer(str(reference))
        defaults = {"epochs": 1, "iterations_per_epoch": 2, "seed": 8, "workers": 0, "precision": "fp32"}
        return chosen.build(
            FoldData(
                plans=plans,
                configuration="3d_fullres",
                cases=store,
                split=SPLIT,
                output=tmp_path / chosen.name / fold,
                references=references,
            ),
            settings=TrainingSettings(**(defaults | settings)),
            device="cpu",
        )

    return make


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, {})) == DEFAULT
    assert read_recipe(write(tmp_path, {"epochs": 7, "gradient_clip": 3})) == replace(
        DEFAULT, epochs=7, gradient_clip=3.0
    )
    write(tmp_path, {"base": "TrainerAdam", "mirror": False}, "before.json")
    recipe = read_recipe(write(tmp_path, {"base": "before.json", "optimiser": {"amsgrad": False}}))

    assert (recipe.mirror, recipe.learning_rate) == (False, 3e-4)
    assert (recipe.optimiser.settings["weight_decay"], recipe.optimiser.settings["amsgrad"]) == (3e-5, False)


def test_settings_change_the_part_of_the_base_and_another_name_begins_with_its_own(tmp_path: Path) -> None:
    strong = {"base": "TrainerDA5", "augmentation": {"numbers": {"rotation": 5.0}}}
    numbers = read_recipe(write(tmp_path, strong)).augmentation
    other = read_recipe(write(tmp_path, {"base": "TrainerDA5", "augmentation": "DA3"})).augmentation

    before = RECIPES["TrainerDA5"].augmentation.settings["numbers"]
    assert (numbers.name, numbers.settings["numbers"]) == ("DA5", replace(before, rotation=5.0))
    assert other == RECIPES["TrainerDA3"].augmentation


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_written_is_read_as_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    write_recipe(path, RECIPES[name])

    assert read_recipe(path) == RECIPES[name]
    assert set(read_json(path)) == set(DEFAULT.__slots__)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 5}, "there is no key 'epoch'; known: epochs, iterations_per_epoch, .*, base; did you mean epochs?"),
        ({"epochs": "5"}, "epochs: expected int, found '5'"),
        ({"epochs": 0}, "epochs: at least 1, found 0"),
        ({"learning_rate": 20}, "learning_rate: between 0 and 10, found 20.0; the usual value is 0.01"),
        ({"foreground_fraction": 1.5}, "foreground_fraction: from 0 to 1, found 1.5"),
        ({"gradient_clip": 0}, "gradient_clip: above 0, found 0.0"),
        ({"mirror": 1}, "mirror: expected bool, found 1"),
        ({"loss": []}, "loss: at least one, found none"),
        (
            {"loss": "dise"},
            "loss: no loss is called 'dise'; known: dice, squared_dice, .*, boundary; did you mean dice?",
        ),
        ({"loss": ["dice", {"gamma": 2}]}, r"loss\[1\]: expected the name of one of dice, .*, found None"),
        ({"loss": {"name": "focal", "gama": 2}}, "loss: loss 'focal' has no setting 'gama'; known: gamma, alpha; did"),
        ({"loss": {"name": "focal", "gamma": "2"}}, "loss.gamma: expected float, found '2'"),
        ({"loss_weights": [1]}, "loss_weights: one for each loss, 2, found 1"),
        ({"loss_weights": [1, 0]}, r"loss_weights: above 0 and below 1e\+06, found \(1.0, 0.0\)"),
        ({"loss_weights": [1, "2"]}, r"loss_weights\[1\]: expected float, found '2'"),
        ({"loss": {"name": "tversky", "outputs": [1.5]}}, r"loss.outputs\[0\]: expected int, found 1.5"),
        (
            {"loss": {"name": "weighted_cross_entropy", "weighting": "x"}},
            "expected given or frequency or prediction, found 'x'",
        ),
        ({"optimiser": 3}, "optimiser: expected a name, or an object with a name and settings, found 3"),
        (
            {"optimiser": "sgd"},
            "optimiser: no optimiser is called 'sgd'; known: SGD, Adam, AdamW, RMSprop; did you mean SGD?",
        ),
        ({"optimiser": {"momentum": 1.0}}, "optimiser.momentum: from 0 to below 1, found 1.0"),
        (
            {"schedule": "cosin"},
            "no schedule is called 'cosin'; known: poly, cosine, constant, .*, on_plateau; did you mean cosine?",
        ),
        (
            {"schedule": {"name": "step", "every": 0}, "epochs": 5},
            "mine.json: schedule.every: 1 epoch or more, found 0",
        ),
        (
            {"augmentation": ["noise", {"name": "elastik"}]},
            r"augmentation\[1\]: no step is called 'elastik'; known: rotation_and_scale, .*; did you mean elastic?",
        ),
        (
            {"augmentation": [{"name": "elastic", "displacement": [6, 1]}]},
            "displacement: the lowest and the highest value, both from 0 on, found",
        ),
        (
            {"network": "vnett"},
            "network: no network is called 'vnett'; known: planned, unet_2016, .*; did you mean vnet?",
        ),
        (
            {"network": {"name": "vnet", "widht": 8}},
            "has no setting 'widht'; known: width, levels, .*; did you mean width?",
        ),
        ({"network": {"name": "vnet", "levels": 2.5}}, "network.levels: expected int, found 2.5"),
        ({"network": {"normalisation": "group"}}, "network.normalisation: expected instance or batch, found 'group'"),
        (
            {"augmentation": {"numbers": {"rotations": 3}}},
            "augmentation: numbers has no field 'rotations'; known: rotation, .*; did you mean rotation?",
        ),
        (
            {"augmentation": {"numbers": {"order": 9}}},
            "augmentation.numbers.order: expected 0 or 1 or 2 or 3 or 4 or 5",
        ),
        (
            {"optimiser": "torch.optimm:SGD"},
            "the module 'torch.optimm' cannot be imported: No module named .*; install",
        ),
        (
            {"optimiser": "torch.optim:Sgd"},
            "nothing in torch.optim that can be called has this name; did you mean SGD?",
        ),
        ({"optimiser": {"name": "torch.optim:SGD", "momentom": 1}}, "has no setting 'momentom'; known: momentum, "),
        ({"loss": "absent.py:mine"}, "absent.py: no such file; name a class of your own as"),
        (
            {"loss": "own.py:needy"},
            r"loss 'own.py:needy' needs the setting 'weight'".replace("own.py:needy", ".*own.py:needy"),
        ),
        ({"base": "Trainr"}, "no recipe is called 'Trainr'; known: Trainer, .*; did you mean Trainer?; name a file"),
        ({"base": 3}, "base: expected the name of a recipe, or a file's, found 3"),
        ({"base": "absent.json"}, "absent.json: no such file; autoseg_make_recipe writes a recipe to begin with"),
        ({"base": "mine.json"}, "mine.json: is its own base, through "),
        ([], "expected an object with named fields, found list"),
        ("{'epochs': 5}", "not valid JSON: line 1 column 2 .*single quotation marks; write double ones"),
    ],
)
def test_what_a_file_may_not_say_is_named_with_what_it_may(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "own.py").write_text("def needy(weight):\n    return weight\n")
    path = write(tmp_path, content)

    with pytest.raises(ExtensionError) as told:
        read_recipe(path)
    assert re.search(message.replace("?", r"\?"), str(told.value)), str(told.value)
    assert str(told.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TrainerDice.json", "a recipe that ships is called so; give the file another name"),
        ("a__b.json", "letters, digits, ., - and _, but no __, before .json; give the file another name"),
        ("absent.json", "no such file; autoseg_make_recipe writes a recipe to begin with"),
    ],
)
def test_names_that_a_model_cannot_have_are_refused(tmp_path: Path, name: str, message: str) -> None:
    if name != "absent.json":
        write(tmp_path, {}, name)
    with pytest.raises(Exception, match=re.escape(message)):
        find_trainer(str(tmp_path / name))


OWN = """
from torch import nn
from autoseg.training.losses import CrossEntropy

class Twice(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.loss = factor, CrossEntropy()

    def forward(self, logits, target):
        return self.factor * self.loss(logits, target)

def twice(factor: float = 2.0):
    return Twice(factor)

class Plain(nn.Conv3d):
    def __init__(self, in_channels, out_channels, size: int = 3):
        super().__init__(in_channels, out_channels, size, padding=size // 2)
"""
RECIPE = {
    "network": {"normalisation": "batch"},
    "loss": {"name": "own.py:twice", "factor": 3.0},
    "optimiser": {"name": "torch.optim:RMSprop", "momentum": 0.5},
    "schedule": "cosine",
    "learning_rate": 0.001,
    "deep_supervision": False,
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return write(tmp_path, RECIPE)


def test_a_recipe_of_other_parts_trains_and_predicts_what_it_says(trainer: MakeTrainer, mine: Path) -> None:
    made = trainer(mine, epochs=4)
    optimizer = made.build_optimizer(nn.Linear(1, 1))
    logits, target = torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long)
    assert type(optimizer) is torch.optim.RMSprop
    assert {name: optimizer.param_groups[0][name] for name in ("lr", "momentum")} == {"lr": 0.001, "momentum": 0.5}
    assert made.build_loss()(logits, target).item() == pytest.approx(3 * 0.693147, rel=1e-5)
    assert [made.learning_rate(epoch) for epoch in (0, 2, 4)] == pytest.approx([0.001, 0.0005, 0])
    made.run()
    summary = made.validate()

    file = load_weights(made.output / "weights_final.pt")
    assert (file.trainer, file.custom_network, file.network.settings) == ("mine", False, {"normalisation": "batch"})
    assert made.new_network().deep_supervision is False
    assert len(summary.cases) == 2
    (network,) = load_model(made.output.parent, "3d_fullres").networks
    assert any(isinstance(layer, nn.BatchNorm3d) for layer in network.modules())


def test_settings_are_held_to_the_types_that_plain_values_can_have(tmp_path: Path) -> None:
    """Also of a part of one's own: lists become tuples, and what a type of several kinds means is left to the part."""
    (tmp_path / "own.py").write_text(
        "from typing import Optional, Union\n"
        "def part(share: Union[int, float], outputs: 'tuple[int, ...] | None' = None, most: Optional[int] = None): ...\n"
    )
    said = {"name": "own.py:part", "share": 2}

    (part,) = read_recipe(write(tmp_path, {"loss": said | {"outputs": [1, 2], "most": None}})).loss

    assert dict(part.settings) == {"share": 2, "outputs": (1, 2), "most": None}
    for wrong, message in (
        ({"outputs": [1, "x"]}, r"loss.outputs\[1\]: expected int, found 'x'"),
        ({"most": 1.5}, "loss.most"),
    ):
        with pytest.raises(ExtensionError, match=message):
            read_recipe(write(tmp_path, {"loss": said | wrong}))


def test_losses_are_weighted_and_tried_before_anything_is_written(trainer: MakeTrainer, mine: Path) -> None:
    both = {"loss": ["tversky", "cross_entropy"], "loss_weights": [2, 0.5]}
    logits, target = torch.zeros(1, 3, 1, 2), torch.tensor([[[1, 2]]])
    tversky = -(1 / 3 + 1) / (1 / 3 + 0.7 / 3 + 0.2 + 1)
    found = trainer(write(mine.parent, both)).build_loss()(logits, target).item()
    assert found == pytest.approx(2 * tversky + 0.5 * math.log(3), rel=1e-5)

    made = trainer(write(mine.parent, {"loss": {"name": "absolute", "output_weights": [1, 2]}}))
    with pytest.raises(TrainingError, match="a number from 0 for each of the network's 3 outputs"):
        made.run()
    assert not made.output.exists()


def test_a_network_of_two_answers_trains_and_predicts_with_the_first(trainer: MakeTrainer, mine: Path) -> None:
    made = trainer(write(mine.parent, {"network": {"name": "dense_voxel", "width": 4, "growth": 2}}))
    made.run()

    assert len(made.validate().cases) == 2
    assert math.isfinite(json.loads((made.output / "history.json").read_text())["epochs"][-1]["loss"])


def test_a_named_network_trains_and_is_built_again_by_its_name(trainer: MakeTrainer, mine: Path) -> None:
    settings = {"width": 8, "levels": 2, "coarse_outputs": True, "attention_gates": True}
    made = trainer(write(mine.parent, {"network": {"name": "unet_2016", **settings}}))
    made.run()
    assert len(made.validate().cases) == 2

    file = load_weights(made.output / "weights_final.pt")
    assert (file.custom_network, file.network.name, file.network.settings["width"]) == (False, "unet_2016", 8)
    (network,) = load_model(made.output.parent, "3d_fullres").networks
    assert len(network.gates) == 1
    assert "parameters: " in (made.output / "architecture.txt").read_text()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            {"name": "unet_2016"},
            "3d_fullres: unet_2016 takes patches whose sides are multiples of 8x8x8, found 8x12x8; give it fewer `levels`",
        ),
        (
            {"name": "torch.nn:Conv3d", "kernel_size": 3},
            r"torch.nn:Conv3d answers a batch of 3x1x8x12x8 with 3x3x6x10x6, expected 3x3x8x12x8: the scores of every output",
        ),
        ({"name": "torch.nn:Conv2d", "kernel_size": 3}, "torch.nn:Conv2d does not take a batch of 3x1x8x12x8 "),
    ],
)
def test_a_network_that_does_not_fit_ends_before_anything_is_written(
    trainer: MakeTrainer, mine: Path, network: dict[str, Any], message: str
) -> None:
    made = trainer(write(mine.parent, {"network": network}))
    with pytest.raises(PlanError, match=re.escape(message)):
        made.run()
    assert not made.output.exists()


def test_a_network_of_ones_own_needs_the_recipe_to_predict(trainer: MakeTrainer, mine: Path) -> None:
    write(mine.parent, {"network": {"name": "own.py:Plain", "size": 5}})
    made = trainer(mine)
    made.run()
    assert len(made.validate().cases) == 2

    with pytest.raises(ModelError, match=r"`trainer=path/to/file\.py:mine` or path/to/mine\.json"):
        load_model(made.output.parent, "3d_fullres")
    builder = find_trainer(str(mine)).build_network
    (network,) = load_model(made.output.parent, "3d_fullres", build_network=builder).networks
    assert network.weight.shape == (3, 1, 5, 5, 5)


SAME_SETTINGS = """
from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from autoseg.catalogue import Settings


def plain(in_channels: int, out_channels: int, *, size: int = 3, bias: bool = True) -> nn.Module:
    \"""A convolution.

    Args:
        size: Of its kernel.
        bias: Whether it has one.
    \"""
    return nn.Conv3d(in_channels, out_channels, size, bias=bias)


@dataclass(frozen=True, kw_only=True)
class PlainSettings(Settings):
    \"""A convolution.

    Attributes:
        size: Of its kernel.
        bias: Whether it has one.
    \"""

    size: int = 3
    bias: bool = True

    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv3d(in_channels, out_channels, self.size, bias=self.bias)
"""


@pytest.mark.parametrize("name", ["plain", "PlainSettings"])
def test_settings_as_a_value_are_dealt_with_as_those_of_a_function(tmp_path: Path, name: str) -> None:
    (tmp_path / "same.py").write_text(SAME_SETTINGS)

    def read(**settings: Any) -> Recipe:
        return read_recipe(write(tmp_path, {"network": {"name": f"same.py:{name}", **settings}}))

    recipe = read(size=5)
    assert recipe.network.settings == {"size": 5}
    assert ("network.size", 5, "Of its kernel.") in explained(recipe)
    network = build_named_network(recipe.network, unet_plan(patch_size=(8, 8, 8)), 2, 3)
    assert isinstance(network, nn.Conv3d)
    assert (tuple(network.weight.shape), network.bias is not None) == ((3, 2, 5, 5, 5), True)

    with pytest.raises(ExtensionError, match=r"network\.bias: expected bool, found 5"):
        read(bias=5)
    with pytest.raises(ExtensionError, match="has no setting 'sise'; known: size, bias; did you mean size"):
        read(sise=5)
    with pytest.raises(ExtensionError, match="has no setting 'in_channels'; known: size, bias"):
        read(in_channels=5)


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
def test_settings_beyond_six_are_a_value(catalogue: Catalogue) -> None:
    for name, entry in catalogue.entries.items():
        is_value = isinstance(entry, type) and issubclass(entry, Settings)
        assert is_value or len(inspect.signature(entry).parameters) <= 6, name


def test_weights_never_make_anything_run_that_is_not_ours(trainer: MakeTrainer) -> None:
    made = trainer("Trainer")
    made.run()
    path = made.output / "weights_final.pt"
    for part, message in (
        (Part(name="os:system", settings={"command": "false"}), "no network of ours is called 'os:system'"),
        (Part(name="planned", settings={"normalisation": "x"}), "normalisation: expected instance or batch, found 'x'"),
    ):
        save_weights(path, replace(load_weights(path), network=part))
        with pytest.raises(ModelError, match=message):
            load_model(made.output.parent, "3d_fullres")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss_weights": [2]}, r"losses was own.py:twice\(factor=3.0\), now 2.0 own.py:twice\(factor=3.0\)"),
        ({"gradient_clip": 3}, r"gradient_clip was 12\.0, now 3\.0"),
        ({"loss": {"name": "own.py:twice", "factor": 4}}, r"losses was own.py:twice\(factor=3.0\), now .*factor=4.0\)"),
        ({"schedule": "poly"}, r"schedule was cosine\(warm_up=0\), now poly\(exponent=0.9\)"),
        ({"optimiser": "SGD"}, r"momentum was 0.5, now 0.99; .*optimiser was torch.optim:RMSprop\(.*\), now SGD\(fit"),
        (
            {"network": "planned"},
            r"network was planned\(normalisation='batch'\), now planned\(normalisation='instance'\)",
        ),
        ({"augmentation": {"numbers": {"rotation": 3}}}, r"augmentation\.rotation was 30\.0, now 3\.0"),
        ({"deep_supervision": True}, "deep_supervision was False, now True"),
        ("code", r"the code in .*own\.py changed"),
    ],
)
def test_a_training_goes_on_by_no_other_recipe_or_code(
    trainer: MakeTrainer, mine: Path, change: dict[str, Any] | str, message: str
) -> None:
    with pytest.raises(Interrupted):
        trainer(mine).run(should_stop=lambda: True)
    if isinstance(change, str):
        (mine.parent / "own.py").write_text(OWN.replace("self.factor * self.loss", "2 * self.loss"))
    else:
        write(mine.parent, RECIPE | change)

    with pytest.raises(TrainingError, match=rf"began under other conditions: {message}.*continue it with the same"):
        trainer(mine).run(resume=True)


def test_a_recipe_that_moved_or_has_more_epochs_goes_on(trainer: MakeTrainer, mine: Path) -> None:
    with pytest.raises(Interrupted):
        trainer(mine, epochs=None).run(should_stop=lambda: True)
    other = mine.parent / "elsewhere"
    other.mkdir()
    (other / "own.py").write_text(OWN + "# a remark\n")
    moved = write(other, RECIPE | {"epochs": 2})

    made = trainer(moved, epochs=None)
    made.run(resume=True)
    assert load_weights(made.output / "weights_final.pt").epoch == 2


def test_two_recipes_of_one_name_do_not_share_a_folder(trainer: MakeTrainer, mine: Path) -> None:
    trainer(mine, "fold_1").run()
    other = mine.parent / "elsewhere"
    other.mkdir()
    path = write(other, {"base": "../mine.json", "mirror": False})

    with pytest.raises(
        TrainingError,
        match=r"fold_1: was trained with another mine: mirror was True, now False; .*give the class another name, or the recipe file",
    ):
        trainer(path).run()


def test_a_training_of_the_version_before_goes_on_where_nothing_that_it_wrote_down_changed(
    trainer: MakeTrainer, tmp_path: Path
) -> None:
    """Its record names no parts."""
    from autoseg.training.fold.checkpoint import load_checkpoint, save_checkpoint
    from autoseg.training.recipes.record import NAMED_PARTS

    with pytest.raises(Interrupted):
        trainer("TrainerDice").run(should_stop=lambda: True)
    fold = tmp_path / "TrainerDice" / "fold_0"
    content = load_checkpoint(fold / "checkpoint.pt")
    values = {name: text for name, text in content["recipe"]["values"].items() if name not in NAMED_PARTS}
    assert values["loss"] == "DiceLoss()"
    save_checkpoint(fold / "checkpoint.pt", content | {"recipe": {"values": values, "code": {}}})
    run = read_json(fold / "run.json")
    write_json(fold / "run.json", run | {"recipe": {"values": values, "code": {}}})

    trainer("TrainerDice").run(resume=True)
    assert load_weights(fold / "weights_final.pt").epoch == 1


# ------------------------------------------------------------------------------------- recipes.md

DOCUMENTATION = Path(__file__).resolve().parents[3] / "documentation"
PAGE = (DOCUMENTATION / "recipes.md").read_text()
NAMED_PAGES = {
    "network": "networks",
    "loss": "losses",
    "optimiser": "schedules",
    "schedule": "schedules",
    "stopping": "schedules",
    "slices": "splits",
    "augmentation": "augmentation",
    "batch_steps": "augmentation",
}
PAGES = {kind: (DOCUMENTATION / f"{page}.md").read_text() for kind, page in NAMED_PAGES.items()}


def test_every_key_stands_on_the_page_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([^|]+)` \| `([^|]+)` \|", PAGE.partition("## Parts")[0], re.MULTILINE))
    told: dict[str, str] = {}
    for keys, values in rows.items():
        told |= dict(zip(keys.split("`, `"), values.split("`, `"), strict=True)) if "`, `" in keys else {keys: values}
    expected = {key: value for key, value, _ in explained(DEFAULT) if not re.match(r"loss\[|augmentation\.", key)}

    assert {key: json.loads(told[key]) for key in expected} == expected
    assert json.loads(told["loss"]) == [part.name for part in DEFAULT.loss]
    assert all(meaning for *_, meaning in explained(DEFAULT))


def test_every_part_stands_on_the_page_with_its_settings() -> None:

    for kind, catalogue in CATALOGUES.items():
        (names, given) = re.findall(rf"^\| `{kind}` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)[-1]
        settings = {one for name in catalogue.entries for one in catalogue.completed(Part(name=name)).settings}
        elsewhere = set(re.findall(rf"`{kind}\.(\w+)`", PAGE))
        if kind in PAGES:  # beside the parts' own tests, which hold each page to them
            elsewhere |= set(re.findall(r"`(\w+)`", PAGES[kind]))
        assert settings | set(catalogue.entries) <= set(re.findall(r"`(\w+)`", names)) | elsewhere
        assert tuple(re.findall(r"`(\w+)`", given)) == catalogue.given


def test_blocks_of_the_page_are_recipes(tmp_path: Path) -> None:
    for block in re.findall(r"```python\n# (\w+\.py)\n(.+?)```", PAGE, re.DOTALL):
        (tmp_path / block[0]).write_text(block[1])
    first, search, last, together = re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)
    one, other, tasks = (read_recipe(write(tmp_path, text)) for text in (first, last, together))
    tried = write_tried(write(tmp_path, search), tmp_path / "tried")

    assert [read_recipe(file).loss[0].settings["gamma"] for file in tried] == [1.0, 1.0, 1.33, 1.33, 2.0, 2.0]

    assert (one.schedule.settings, one.loss[1].settings["gamma"]) == ({"warm_up": 5}, 3.0)
    assert tasks.tasks == ("Task004", "Task044")
    assert as_content(other)["loss"][1]["missed"] == 0.6
    tversky = import_file(tmp_path / "my_part.py").tversky(0.6)
    sure = torch.tensor([[-50.0, 50.0], [50.0, -50.0]]).T[None, :, None]  # label 1, then background
    assert tversky(sure, torch.tensor([[[1, 1]]])).item() == pytest.approx(-1 / 1.6, abs=1e-4)


@pytest.mark.parametrize("kind", ["optimiser", "schedule", "augmentation", "batch_steps"])
def test_every_default_stands_on_the_page(kind: str) -> None:
    catalogue = STEPS if kind == "augmentation" else CATALOGUES[kind]
    for name in catalogue.entries:
        (row,) = re.findall(rf"^\| `{name}` \| [^|]+ \|([^|]*)\|$", PAGES[kind], re.MULTILINE)
        settings = dict(catalogue.part(name).settings)
        for elsewhere in ("warm_up", "channel_probability"):
            settings.pop(elsewhere, None)
        told = dict(re.findall(r"`(\w+)` (\[[^\]]+\]|[\w.\"]+)", row))
        assert {
            key: tuple(value) if isinstance(value := json.loads(text), list) else value for key, text in told.items()
        } == settings


def test_a_list_of_steps_is_read_written_and_trained(trainer: MakeTrainer, mine: Path) -> None:
    steps = ["rotation_and_scale", {"name": "elastic", "probability": 0.5}, {"name": "gamma", "exponent": [0.5, 2]}]
    path = write(mine.parent, {"augmentation": steps})
    recipe = read_recipe(path)
    content = as_content(recipe)["augmentation"]
    assert [one["name"] for one in content] == ["rotation_and_scale", "elastic", "gamma"]
    assert (content[1]["probability"], content[2]["exponent"]) == (0.5, [0.5, 2.0])
    assert ("augmentation[1].displacement", (1.0, 6.0)) in [row[:2] for row in explained(recipe)]
    assert read_recipe(write(mine.parent, {"augmentation": "da5"}, "other.json")) == RECIPES["TrainerDA5"]
    write_recipe(mine.parent / "again.json", recipe)
    assert read_recipe(mine.parent / "again.json") == recipe

    trainer(path).run()
    write(mine.parent, {"augmentation": steps[:2]})
    with pytest.raises(
        TrainingError, match=r"augmentation was rotation_and_scale\(.*\) \+ elastic\(.*now rotation_and_scale"
    ):
        trainer(path).run(resume=True)
