"""Whether files are what their names say. Each is read by the reader that prediction uses; none can run code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from autoseg.errors import AutosegError, ModelError
from autoseg.evaluation.summary import load_summary
from autoseg.files.layout import (
    CARD_FILE,
    CARD_TEXT_FILE,
    CHECKPOINTS,
    FINGERPRINT_FILE,
    FUSION_FILE,
    PLANS_FILE,
    PLANS_VIEW_FILE,
    POSTPROCESSING_FILE,
    SELECTION_FILE,
    SUMMARY_FILE,
    weights_name,
)
from autoseg.files.storage import read_bytes, read_json
from autoseg.inference.fusion_record import load_fusion
from autoseg.planning.fingerprint import load_fingerprint
from autoseg.plans import Plans, load_plans, load_plans_json
from autoseg.postprocessing.rules import load_rules
from autoseg.sharing.card import ModelCard, load_card
from autoseg.sharing.members import ArchiveMember, place_in_archive


def check_files(members: Mapping[str, ArchiveMember], paths: Mapping[str, Path]) -> ModelCard:
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
    return _fitting_card(load_card(paths[CARD_FILE]), plans, models)


def _check_file(name: str, path: Path) -> None:
    from autoseg.inference.model import load_weights

    checks: Mapping[str, Callable[[Path], object]] = {
        PLANS_FILE: load_plans,
        PLANS_VIEW_FILE: load_plans_json,
        FINGERPRINT_FILE: load_fingerprint,
        POSTPROCESSING_FILE: load_rules,
        FUSION_FILE: load_fusion,
        SUMMARY_FILE: load_summary,
        SELECTION_FILE: read_json,
        CARD_FILE: load_card,
        CARD_TEXT_FILE: _check_text,
        **{weights_name(checkpoint): load_weights for checkpoint in CHECKPOINTS},
    }
    checks[name.rpartition("/")[2]](path)


def _check_text(path: Path) -> None:
    try:
        read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not text in UTF-8") from error


def _fitting_plans(paths: Mapping[str, Path], folder: str, member: ArchiveMember) -> Plans:
    plans = load_plans(paths[f"{folder}/{PLANS_FILE}"])
    if load_plans_json(paths[f"{folder}/{PLANS_VIEW_FILE}"]) != plans:
        raise ModelError(f"{folder}/{PLANS_VIEW_FILE} shows other plans than {PLANS_FILE} holds")
    if plans.dataset != member.task or not str(member.model).endswith(f"__{plans.identifier}"):
        raise ModelError(
            f"{folder}/{PLANS_FILE} holds plans {plans.identifier!r} of {plans.dataset!r}; another folder's"
        )
    previous = plans.configuration(str(member.configuration)).previous
    if previous and not any(f"/{previous}/" in name and member.model in name.split("/") for name in paths):
        raise ModelError(f"{folder} takes the predictions of {previous}, which is missing")
    return plans


def _fitting_card(card: ModelCard, plans: list[Plans], models: Mapping[str, ArchiveMember]) -> ModelCard:
    described = {place_in_archive(entry.key(card.task)) for entry in card.models}
    if described != models.keys():
        raise ModelError(
            f"{CARD_FILE} describes {', '.join(sorted(described))}, but there are {', '.join(sorted(models))}"
        )
    said = card.channels, card.labels, card.target_kind
    if any((plan.channels, plan.labels, plan.target_kind) != said for plan in plans):
        raise ModelError(f"{CARD_FILE} has other channels or labels than the plans")
    return card
