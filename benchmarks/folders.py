"""What becomes of folders as people have them: what is understood, the verdict, a short run, and a prediction in kind.

    python benchmarks/folders.py --data DATA [--work folders_work] [--only WORD ...] [--no_training]

`DATA` holds the folders of `FOLDERS`. Each is converted and verified; where it has enough cases, `autoseg_run` trains one
configuration on two folds, two epochs of 20 batches, and the best predicts an image, whose format, size and place have to
be the input's. The files of `odd_files`, which are no dataset, are read one by one. A table is printed, what each command said is
kept in `--work`. About half an hour on two cores, half a minute without training.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import DatasetError
from autoseg.images import read_header, read_image, split_ending

SHORT = "--folds 0 1 --epochs 2 --iterations_per_epoch 20 --batch_size 2 --seed 1 -device cpu".split()
AXONS = "axondeepseg_sem"
SPINE, HIPPOCAMPUS = "bids_spine", "bids_hippocampus"
BOTH_SIDES = "--label_suffixes _seg-anterior _seg-posterior"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A dataset and what is chosen of it.

    Attributes:
        options: Of `autoseg_convert_dataset`.
        trained: The configuration, and more options of `autoseg_run`; empty where there are too few cases.
    """

    source: str
    options: str = ""
    trained: str = ""

    @property
    def name(self) -> str:
        return f"{self.source} {self.options}".strip()


FOLDERS = (
    Folder(source=SPINE),
    Folder(source=SPINE, options="--contrasts T1w T2w T2star --label_suffixes _seg-manual"),
    Folder(source=SPINE, options="--contrasts T1w T2w T2star --label_suffixes _seg-manual --multichannel"),
    Folder(source=SPINE, options="--contrasts T2w --label_suffixes _seg-manual _lesion-manual"),
    Folder(source=SPINE, options="--contrasts T2w --label_suffixes _labels-disc-manual"),
    Folder(source=HIPPOCAMPUS),
    Folder(source=HIPPOCAMPUS, options=f"--contrasts T1w T2w {BOTH_SIDES}", trained="3d_fullres"),
    Folder(source=HIPPOCAMPUS, options=f"--contrasts T1w T2w {BOTH_SIDES} --multichannel", trained="3d_fullres"),
    Folder(source=HIPPOCAMPUS, options=f"--contrasts T1w {BOTH_SIDES} --overlap masks", trained="2d"),
    Folder(source=AXONS),
    Folder(
        source=AXONS,
        options="--label_suffixes _seg-axon-manual _seg-myelin-manual",
        trained="2d -gpu_memory_target 0.5",
    ),
    Folder(source=AXONS, options="--label_suffixes _seg-axonmyelin-manual"),
    Folder(source="dsb2018_rgb", options="--label_names nucleus", trained="2d -gpu_memory_target 0.5"),
    Folder(source="dsb2018_instances"),
    Folder(source="ms_mni"),
    Folder(source="ms_mni/Task102_MSLesionMNI"),
    Folder(source="odd_files"),
    Folder(source="odd_files.tsv", options="--remap_labels"),
    Folder(source="Task04_Hippocampus", trained="3d_fullres"),
    Folder(source="Task101_SunnybrookLV", trained="2d -gpu_memory_target 0.5 --patients ^[^_]+"),
)
"""`dsb2018_instances` and `odd_files.tsv` are made of the files of others: numbers of nuclei as labels, and a table of paths."""

ODD_PAIRS = (
    ("niivue/nifti_space/AIL.nii.gz", "niivue/draw.nii.gz"),
    ("niivue/nifti_space/LAS.nii.gz", "niivue/LAS_drawing_correct.nii.gz"),
    ("niivue/FLAIR.nrrd", "niivue/lesion.nii.gz"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("folders_work"), help="a folder that may be emptied")
    parser.add_argument("--only", nargs="+", default=[], help="only folders with one of these words in their lines")
    parser.add_argument("--no_training", action="store_true")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    made = _made(arguments.data.resolve(), arguments.work.resolve())
    print("| folder and options | understood | verdict | run and prediction | CPU s |")
    print("|---|---|---|---|---|", flush=True)
    for number, folder in enumerate(FOLDERS, start=500):
        if not arguments.only or any(word in folder.name for word in arguments.only):
            source = made.get(folder.source, arguments.data.resolve() / folder.source)
            show = Show(folder=folder, source=source, work=arguments.work / f"{number}", number=number)
            print(f"| {' | '.join(show.row(trains=not arguments.no_training))} |", flush=True)
    if not arguments.only:
        print("\n| file of odd_files | read |\n|---|---|")
        for path in sorted((arguments.data / "odd_files").rglob("*")):
            if path.is_file() and split_ending(path.name)[1]:
                print(f"| {path.relative_to(arguments.data / 'odd_files')} | {_read(path)} |")


def _made(data: Path, work: Path) -> dict[str, Path]:
    """Datasets of the same files in another arrangement."""
    instances = work / "dsb2018_instances"
    instances.mkdir()
    (instances / "images").symlink_to(data / "dsb2018_rgb" / "images")
    (instances / "labels").symlink_to(data / "dsb2018_rgb" / "instances")
    table = work / "odd_files.tsv"
    odd = data / "odd_files"
    lines = [f"{split_ending(Path(image).name)[0]}\t{odd / image}\t{odd / label}\n" for image, label in ODD_PAIRS]
    table.write_text("".join(["case\timage\tlabel\n", *lines]))
    return {"dsb2018_instances": instances, "odd_files.tsv": table}


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """One folder shown, with a home of its own.

    Attributes:
        number: Of its task.
    """

    folder: Folder
    source: Path
    work: Path
    number: int

    def row(self, *, trains: bool) -> Iterator[str]:
        before = _cpu_seconds()
        yield f"`{self.folder.name}`"
        options = ["-output_task_id", str(self.number), *self.folder.options.split()]
        code, said = self._autoseg("convert_dataset", "-i", str(self.source), *options)
        yield _understood(said) if code == 0 else f"refused: {_told(said)}"
        yield "" if code else self._verdict()
        is_trained = trains and code == 0 and self.folder.trained
        yield self._run(options) if is_trained else ""
        yield f"{_cpu_seconds() - before:.0f}"

    def _verdict(self) -> str:
        code, said = self._autoseg("verify_dataset", "-t", str(self.number))
        first, *lines = said.splitlines()
        warnings = [line.strip() for line in lines if line.startswith("  ")]
        return _cell(f"{'no: ' * bool(code)}{first.partition(': ')[2]}" + "".join(f"; {one}" for one in warnings[:3]))

    def _run(self, options: Sequence[str]) -> str:
        started = time.monotonic()
        words = [*options, "-m", *self.folder.trained.split(), *SHORT]
        code, said = self._autoseg("run", str(self.source), *words)
        if code:
            return f"run failed: {_told(said)}"
        took = time.monotonic() - started
        (task,) = (self.work / "home" / "raw_data").iterdir()
        case = json.loads((task / "dataset.json").read_text())["training"][0]["image"]
        stem = split_ending(Path(case).name)[0]
        files = sorted(path for path in (task / "imagesTr").iterdir() if path.name.startswith(stem))
        given = self.work / "given"
        given.mkdir()
        for path in files:
            shutil.copyfile(path, given / path.name)
        images = [path for path in files if split_ending(path.name)[1]]
        code, said = self._autoseg(
            "predict",
            "-i",
            str(given),
            "-o",
            str(self.work / "out"),
            "-t",
            str(self.number),
            "--best",
            "-device",
            "cpu",
        )
        return f"failed: {_told(said)}" if code else _cell(f"run in {took:.0f} s; {self._in_kind(images[0], stem)}")

    def _in_kind(self, image: Path, stem: str) -> str:
        """Whether the predictions are of the image's format, size and place."""
        written = [path for path in sorted((self.work / "out").iterdir()) if path.name.startswith(stem)]
        files = [path for path in written if split_ending(path.name)[1] == split_ending(image.name)[1]]
        if not files:
            return f"no {split_ending(image.name)[1]} among {[path.name for path in written]}"
        first = read_header(image, most_dimensions=4)
        for path in files:
            other = read_header(path)
            faults = first.geometry.differences(other.geometry)
            if first.shape[-3:] != other.shape or faults:
                return f"{path.name}: {other.shape} instead of {first.shape}; {faults}"
        return f"{', '.join(path.name for path in files)}: format, size and place as given"

    def _autoseg(self, command: str, *words: str) -> tuple[int, str]:
        """Run a command; its exit code and all that it said, which is kept beside the others."""
        self.work.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "autoseg", command, *words, "--home", str(self.work / "home")]
        ended = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"})
        with (self.work / "said.txt").open("a") as file:
            file.write(f"$ {' '.join(line[3:])}\n{ended.stdout}{ended.stderr}exit code {ended.returncode}\n\n")
        return ended.returncode, ended.stdout if ended.returncode == 0 else f"{ended.stdout}{ended.stderr}"


def _understood(said: str) -> str:
    lines = said.splitlines()
    kept = [line.strip() for line in lines[1:] if line.startswith(("  channels", "  labels", "  masks", "  cases"))]
    return _cell("; ".join([lines[0].rpartition(": ")[2], *(" ".join(line.split()) for line in kept)]))


def _told(said: str) -> str:
    """The refusal, without the command before it."""
    errors = [line for line in said.splitlines() if line.startswith("autoseg ")]
    return _cell((errors or said.splitlines()[-1:])[0].partition(": ")[2])


def _cell(text: str) -> str:
    return text.replace("|", "/")


def _read(path: Path) -> str:
    try:
        image = read_image(path)
    except DatasetError as error:
        return _cell(f"refused: {str(error).partition(': ')[2]}")
    sides = " x ".join(str(side) for side in image.data.shape)
    spacing = " x ".join(f"{side:.4g}" for side in image.geometry.spacing)
    doubts = "".join(f"; {text}" for text in image.geometry.doubts(image.data.shape))
    return _cell(f"{sides} voxels of {spacing} mm, {image.data.min():.5g} to {image.data.max():.5g}{doubts}")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
