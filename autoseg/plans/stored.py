"""Plans on disk: the pickle that is read, and its JSON view beside it, for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoseg.errors import PlanError, StorageError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    SLICES,
    in_usual_order,
    parse_plans,
    plans_in,
)
from autoseg.files.pickles import read_plain_pickle, write_plain_pickle
from autoseg.files.records import RecordFormat, require_format
from autoseg.files.storage import content_hash, decode, encode, read_json, with_absent, write_json
from autoseg.files.task_folder import TaskFolder
from autoseg.images.format import READING_MAY_LACK
from autoseg.plans.configuration import ConfigurationPlan, of_configuration
from autoseg.plans.format_1 import as_format_1, from_format_1
from autoseg.plans.network import NETWORKS, RESIDUAL_UNET
from autoseg.plans.plans import Plans
from autoseg.versions import remedy_by_version, warn_if_newer
from autoseg.words import counted

FORMAT = 2
MAY_LACK = ("target_kind", "reading")

FORM = RecordFormat(
    number=FORMAT, what="plans", error=PlanError, another="install a matching version or plan again", older=(1,)
)


def save_plans(plans: Plans, path: Path) -> None:
    """Write the pickle that is read, then its JSON view beside it."""
    content = encode(plans)
    for key in MAY_LACK:
        if content[key] is None:  # as every version has written exclusive labels
            del content[key]
    write_plain_pickle(path, content)
    write_json(path.with_suffix(".json"), content)


def load_plans(path: Path) -> Plans:
    """Read a pickle of plans.

    Raises:
        PlanError: Naming the file, and the field or opcode that is refused.
    """
    return _decode_plans(path, read_plain_pickle)


def load_plans_json(path: Path) -> Plans:
    """Read the JSON view of plans, for turning an edited one back into the pickle.

    Raises:
        PlanError: Naming the file, and the field that is refused; an edit is to be corrected, not to be planned away.
    """
    return _decode_plans(path, read_json, edited="correct that place of the file; the plans that were there stay")


def find_plans(task: TaskFolder, configuration: str, plans: str = DEFAULT_PLANS) -> Path:
    """Of a task's two files of plans of a name the one that holds a configuration; where neither does, the one that should.

    Raises:
        PlanError: A file is damaged.
    """
    return find_planned(task, configuration, plans)[0]


def find_planned(task: TaskFolder, configuration: str, plans: str) -> tuple[Path, Plans | None]:
    """The file that holds a configuration and what is in it; where none does, the file that should.

    Raises:
        PlanError: A file is damaged.
    """
    slices, volumes = (plans_in(task.preprocessed, dimensions, plans) for dimensions in (2, 3))
    files = (slices, volumes) if configuration == SLICES else (volumes, slices)
    for path in files:
        if path.is_file() and configuration in (found := load_plans(path)).configurations:
            return path, found
    return files[0], None


def plans_for(task: TaskFolder, configuration: str, plans: str = DEFAULT_PLANS) -> Plans:
    """Of a task's plans of a name those that hold a configuration; where none do, those that should.

    Raises:
        PlanError: A file is damaged, or none is there.
    """
    path, found = find_planned(task, configuration, plans)
    return found or load_plans(path)


def planned_in(task: TaskFolder, plans: str = DEFAULT_PLANS) -> tuple[str, ...]:
    """The configurations in both files of a task's plans of a name, in the usual order.

    Raises:
        PlanError: A file is damaged.
    """
    files = [path for dimensions in (2, 3) if (path := plans_in(task.preprocessed, dimensions, plans)).is_file()]
    return tuple(in_usual_order(name for path in files for name in load_plans(path).configurations))


def plan_from_json(file: Path) -> Path:
    """Turn `<name>.json` into `<name>.pkl` beside it, once every field is found to fit, and return its path.

    Raises:
        PlanError: Naming the field that does not fit; nothing is written then.
    """
    if file.suffix != ".json":
        raise PlanError(f"{file}: expected the .json view of plans; edit that and name it here")
    plans = load_plans_json(file)
    try:
        require_trainable(plans)
    except PlanError as error:
        raise PlanError(f"{file}: {error}") from error
    filed_under = parse_plans(file)
    if filed_under not in (plans.identifier, file.stem):
        raise PlanError(
            f"{file}: its name files the plans under {filed_under!r}, but its identifier is {plans.identifier!r}; "
            "make the two equal"
        )
    path = file.with_suffix(".pkl")
    save_plans(plans, path)
    return path


def require_trainable(plans: Plans) -> None:
    """Refuse, when planning, what would fail in training.

    A trainer that builds a network of its own is handed the plan, whatever network stands in it.

    Raises:
        PlanError: No network of ours has a configuration's name, or it lacks what that network needs, or its patch
            leaves nothing to normalise.
    """
    for name, configuration in plans.configurations.items():
        if configuration.network.name not in NETWORKS:
            raise PlanError(
                f"{name}.network.name: no network is called {configuration.network.name!r}, known are {', '.join(NETWORKS)}; "
                "take one of these; a trainer that builds a network of its own may ignore it"
            )
        network, patch = configuration.network.unet(), configuration.sampling.patch_size
        if configuration.network.name == RESIDUAL_UNET and network.blocks_per_stage is None:
            raise PlanError(
                f"{name}.network.settings.blocks_per_stage: a residual_unet needs a number of blocks for each level "
                f"({counted(len(network.kernels), 'level')}), found null"
            )
        if tuple(patch) == network.topology.divisor:
            raise PlanError(
                f"{name}.sampling.patch_size: a patch of {patch} ends in a single voxel after all poolings, which "
                "cannot be normalised; take a larger one, or fewer poolings"
            )


def plan_signature(plans: Plans, configuration: str) -> str:
    """Hash of all in the plans that training a configuration, and predicting with it, depend on.

    Raises:
        PlanError: The configuration is not planned.
    """
    return content_hash(
        as_format_1(plans.configuration(configuration)),
        plans.labels,
        plans.channels,
        plans.transpose_forward,
        plans.intensities,
        *([plans.target_kind] if plans.target_kind else []),
    )


def _decode_plans(path: Path, read: Callable[[Path], Any], *, edited: str = "") -> Plans:
    """Plans as they are read; `edited` is the advice where a person may have written them."""
    if not path.is_file():
        raise PlanError(f"{path}: no plans here; run autoseg_plan_and_preprocess first")
    content = None
    try:
        content = read(path)
        require_format(content, FORM, path)
        if content["format"] == 1:
            content = from_format_1(content, path.name)
        warn_if_newer(path, content)
        return _decoded(content, path.name)
    except StorageError as error:
        advice = remedy_by_version(content, edited or "run autoseg_plan_and_preprocess again")
        raise PlanError(f"{error}\n{path} is damaged or was edited wrongly; {advice}") from error
    except PlanError as error:
        if str(path) in str(error):
            raise
        advice = remedy_by_version(content, edited)
        raise PlanError(f"{path}: {error}" + (f"; {advice}" if advice else "")) from error


def _decoded(content: dict[str, Any], where: str) -> Plans:
    configurations = content.get("configurations")
    for name, one in configurations.items() if isinstance(configurations, dict) else ():
        with of_configuration(name):
            decode(ConfigurationPlan, one, f"{where}.configurations.{name}")
    whole = {**dict.fromkeys(MAY_LACK), **content}
    whole["reading"] = with_absent(whole["reading"], READING_MAY_LACK)
    plans: Plans = decode(Plans, whole, where)
    return plans
