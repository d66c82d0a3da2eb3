"""Public datasets by their names: fetched, checked and converted into tasks."""

from __future__ import annotations

import logging
from dataclasses import replace

from autoseg.conversion.layouts import Conversion, convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.files.storage import remove_file
from autoseg.paths import Workspace
from autoseg.sharing.fetching import fetch, unpacked
from autoseg.sharing.index import Offer

log = logging.getLogger(__name__)

FOLDER = ".downloads"
"""In raw_data, of what is under way."""


def get_example(offer: Offer, workspace: Workspace, settings: ConversionSettings | None = None) -> Conversion:
    """Fetch a dataset, check it and make a task of it; the archive is removed when that is done.

    Raises:
        ModelError: The file is not the one that is meant, or no archive.
        StorageError: It cannot be fetched; what came is continued the next time.
        DatasetError, WorkspaceError: As for `convert_dataset`.
    """
    chosen = settings or ConversionSettings()
    if chosen.number is None:
        chosen = replace(chosen, number=offer.number)
    folder = workspace.raw_data / FOLDER
    archive = fetch(offer, folder)
    with unpacked(archive, folder / f"{archive.name}.unpacked") as source:
        made = convert_dataset(source, workspace.raw_data, chosen, tasks=workspace.tasks(), workers=None)
    remove_file(archive)
    if not any(folder.iterdir()):
        folder.rmdir()
    log.info("%s: licence of the data: %s", offer.name, offer.licence)
    return made
