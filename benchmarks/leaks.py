"""Plant leaks in a task and see whether verification finds each, and nothing else.

    python benchmarks/leaks.py --data FOLDER_WITH_Task04_Hippocampus [--work leaks_work]

Some training images come a second time under another name, changed as leaks are: as they are, in noise, resampled, moved by a voxel,
inverted, in another unit; some as test images. Each has to be named with the case that it is of, and no other case. A table is printed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.arrays import Array
from autoseg.conversion.layouts import convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.images import read_image, write_image
from autoseg.planning.verification import verify_dataset

SOURCE = "Task04_Hippocampus"


def in_noise(data: Array) -> Array:
    return data + np.random.default_rng(0).normal(0, 0.2 * float(data.std()), data.shape)


def resampled(data: Array) -> Array:
    return ndimage.zoom(data, 1.25, order=1)


def moved(data: Array) -> Array:
    return ndimage.shift(data, (0, 1, 0), order=0, mode="nearest")


CHANGES: Mapping[str, Callable[[Array], Array]] = {
    "as it is": lambda data: data,
    "in another unit": lambda data: data * 3.5 + 100,
    "in noise": in_noise,
    "resampled": resampled,
    "moved by a voxel": moved,
    "inverted": lambda data: data.max() + data.min() - data,
    "a voxel cut off on one side": lambda data: data[:, 1:],
    "two voxels cut off on all sides": lambda data: data[2:-2, 2:-2, 2:-2],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("leaks_work"), help="a folder that may be emptied")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.work, ignore_errors=True)
    task = convert_dataset(arguments.data / SOURCE, arguments.work, ConversionSettings(), workers=None).folder
    print(f"without any: {str(verify_dataset(task)).splitlines()[0]}", flush=True)
    planted = plant(task)
    findings = verify_dataset(task).findings
    print("| planted | a training case | a test case |\n|---|---|---|")
    named: set[int] = set()
    for change in CHANGES:
        cells = []
        for role in ("training", "test"):
            name, original = planted[change, role]
            found = [
                number for number, one in enumerate(findings) if {name, original} <= set(re.findall(r"\w+", str(one)))
            ]
            named.update(found)
            likeness = re.findall(r"correlation ([\d.]+)", str(findings[found[0]])) if found else []
            cells.append(f"found ({likeness[0]})" if likeness else "found" if found else "NOT FOUND")
        print(f"| {change} | {' | '.join(cells)} |")
    others = [str(one) for number, one in enumerate(findings) if number not in named]
    print(f"other findings: {len(others)}", *others, sep="\n  ")


def plant(task: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Write changed copies of images and list them; by change and role, the copy's name and its original's."""
    description = json.loads((task / "dataset.json").read_text())
    cases = [Path(entry["image"]).name.removesuffix(".nii.gz") for entry in description["training"]]
    originals = iter(cases[5::9])
    planted = {}
    for number, (change, function) in enumerate(CHANGES.items()):
        for role, folder in (("training", "imagesTr"), ("test", "imagesTs")):
            original, name = next(originals), f"planted_{role}_{number}"
            image = read_image(task / "imagesTr" / f"{original}_0000.nii.gz")
            data = function(image.data.astype(np.float64)).astype(np.float32)
            write_image(task / folder / f"{name}_0000.nii.gz", data, image.geometry)
            if role == "training":
                label = read_image(task / "labelsTr" / f"{original}.nii.gz").data
                drawn = np.zeros(data.shape, np.uint8)
                common = tuple(slice(0, min(sides)) for sides in zip(data.shape, label.shape, strict=True))
                drawn[common] = label[common]
                write_image(task / "labelsTr" / f"{name}.nii.gz", drawn, image.geometry)
                description["training"].append(
                    {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
                )
            else:
                description["test"].append(f"./imagesTs/{name}.nii.gz")
            planted[change, role] = name, original
    description.pop("numTraining", None), description.pop("numTest", None)
    (task / "dataset.json").write_text(json.dumps(description))
    return planted


if __name__ == "__main__":
    main()
