"""Whether files are what their names say. Each is read by the reader that prediction uses; none can run code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from autoseg.errors import AutosegError, ModelError
from autoseg.evaluation.summary import load_summary
from autoseg.files.storage import read_bytes, read_json
from autoseg.planning.fingerprint import load_fingerprint
from autoseg.plans import Plans, load_plans, load_plans_json
from autoseg.postprocessing.rules import load_rules
from autoseg.sharing.card import ModelCard, load_card
from autoseg.sharing.members import CARD, PLANS, PLANS_VIEW, Member


def check_files(members: Mapping[str, Member], paths: Mapping[str, Path]) -> ModelCard:
    """Read every file of an archive, before it is packed or after it is unpacked, and return the card.

    Args:
        paths: Where each member lies, by its name in the archive.

    Raises:
        AutosegError: Naming the first file that is damaged, holds what it must not, or does not fit the others.
    """
    for name, path in paths.items():
        try:
            _check_file(name, path)
        except AutosegError:
            raise
        except Exception as error:  # no reader may fail in a way of its own on a file from elsewhere
            raise ModelError(f"{name}: cannot be read ({type(error).__name__}: {error!s:.200})") from error
    models = {member.folder: member for member in members.values() if member.folder}
    plans = [_fitting_plans(paths, name, member) for name, member in sorted(models.items())]
    return _fitting_card(load_card(paths[CARD]), plans, models)


def _check_file(name: str, path: Path) -> None:
    from autoseg.inference.model import load_weights

    checks: Mapping[str, Callable[[Path], object]] = {
        "plans.pkl": load_plans,
        "plans.json": load_plans_json,
        "fingerprint.json": load_fingerprint,
        "postprocessing.json": load_rules,
        "summary.json": load_summary,
        "selection.json": read_json,
        "model_card.json": load_card,
        "model_card.md": _check_text,
        "weights_final.pt": load_weights,
        "weights_best.pt": load_weights,
    }
    checks[name.rpartition("/")[2]](path)


def _check_text(path: Path) -> None:
    try:
        read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not text in UTF-8") from error


def _fitting_plans(paths: Mapping[str, Path], folder: str, member: Member) -> Plans:
    plans = load_plans(paths[f"{folder}/{PLANS}"])
    if load_plans_json(paths[f"{folder}/{PLANS_VIEW}"]) != plans:
        raise ModelError(f"{folder}/{PLANS_VIEW} shows other plans than {PLANS} holds")
    if plans.dataset != member.task or not str(member.model).endswith(f"__{plans.identifier}"):
        raise ModelError(f"{folder}/{PLANS} holds plans {plans.identifier!r} of {plans.dataset!r}; another folder's")
    previous = plans.configuration(str(member.configuration)).previous
    if previous and not any(f"/{previous}/" in name and member.model in name.split("/") for name in paths):
        raise ModelError(f"{folder} takes the predictions of {previous}, which is missing")
    return plans


def _fitting_card(card: ModelCard, plans: list[Plans], models: Mapping[str, Member]) -> ModelCard:
    described = {f"results/{entry.configuration}/{card.task}/{entry.trainer}__{entry.plans}" for entry in card.models}
    if described != models.keys():
        raise ModelError(f"{CARD} describes {', '.join(sorted(described))}, but there are {', '.join(sorted(models))}")
    if any((card.channels, card.labels) != (plan.channels, plan.labels) for plan in plans):
        raise ModelError(f"{CARD} has other channels or labels than the plans")
    return card
