"""All that is checked, by heading. What a check needs is imported when it is made, so that one that cannot be is a line of the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autoseg.diagnosis.page import Check, Diagnosis
from autoseg.paths import Workspace


def all_checks(
    workspace: Workspace, environment: Mapping[str, str], *, home: Path | None = None, clean: bool = False
) -> dict[str, Check]:
    """Of folders, disks, the machine, packages, the device, images and processes; a minute in all.

    Args:
        environment: Whose variables name the folders.
        home: The folder that was named in their place.
        clean: Remove what killed processes left half-written more than a day ago.
    """
    folders = {name: getattr(workspace, name) for name in ("raw_data", "preprocessed", "results")}

    def check_folders() -> list[Diagnosis]:
        from autoseg.diagnosis.folders import check_folder, check_variables

        named = [check_folder(name, folder, needs_writing=name != "raw_data") for name, folder in folders.items()]
        return [*check_variables(environment, home=home), *named]

    def check_disks() -> list[Diagnosis]:
        from autoseg.diagnosis.folders import check_leftovers, check_room

        places = list(folders.values())
        return [*check_room(places), *check_leftovers(places, clean=clean)]

    def check_machine() -> list[Diagnosis]:
        from autoseg.diagnosis.resources import check_cores, check_memory, check_shared_memory

        return [*check_memory(), *check_cores(), *check_shared_memory()]

    def check_packages() -> list[Diagnosis]:
        from autoseg.diagnosis.software import check_installation

        return check_installation()

    def check_computing() -> list[Diagnosis]:
        from autoseg.diagnosis.computing import check_arithmetic, check_device, check_torch

        return [*check_torch(), *check_device(), *check_arithmetic()]

    def check_images() -> list[Diagnosis]:
        from autoseg.diagnosis import trying

        return trying.check_images()

    def check_processes() -> list[Diagnosis]:
        from autoseg.diagnosis import trying

        return [*trying.check_workers(), *trying.check_shared_batches()]

    return {
        "folders": check_folders,
        "disk": check_disks,
        "machine": check_machine,
        "packages": check_packages,
        "computing": check_computing,
        "images": check_images,
        "processes": check_processes,
    }


def speed_checks(workspace: Workspace) -> dict[str, Check]:
    """What is measured rather than looked at: a training, and the disks of the two folders that it reads and writes."""

    def check_training() -> list[Diagnosis]:
        from autoseg.diagnosis.speed import check_speed

        return check_speed()

    def check_storage() -> list[Diagnosis]:
        from autoseg.diagnosis.disk_speed import check_disk_speed

        return check_disk_speed([workspace.preprocessed, workspace.results])

    return {"speed": check_training, "storage": check_storage}
