"""Plans, fingerprints and prepared cases."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from spoiling import Entry, Hostile, Place, Spoil, all_planned, edit, nothing, planned

from autoseg.files.storage import encode
from autoseg.plans import load_plans

TRAIN = "autoseg_train 2d Trainer 1 1 -device cpu"
FROM_JSON = "autoseg_plan_from_json {home}/preprocessed/Task001_Balls/autoseg_plans_2D.json"
HUGE = 10**9
NEW_FOLD = ("home/results/2d/Task001_Balls/Trainer__autoseg/fold_1", "*/fold_1/*")


def trained(name: str, spoil: Spoil, message: str, words: str = TRAIN, writes: tuple[str, ...] = ()) -> Entry:
    return Entry(name=name, spoil=spoil, words=words, message=message, writes=writes)


def plans_are(content: bytes) -> Spoil:
    return lambda place: place.plans().write_bytes(content)


def pickled(value: object, protocol: int = 4) -> Spoil:
    return plans_are(pickle.dumps(value, protocol=protocol))


def view(change: object) -> Spoil:
    """Another JSON view of the plans."""
    return lambda place: edit(place.plans().with_suffix(".json"), change)  # type: ignore[arg-type]


def doubled() -> bytes:
    """A list that holds itself twice, thirty times over: a billion entries in a hundred bytes."""
    value: list[object] = []
    for _ in range(30):
        value = [value, value]
    return pickle.dumps(value, protocol=4)


def fingerprint(change: object) -> Spoil:
    return lambda place: edit(place.prepared / "fingerprint.json", change)  # type: ignore[arg-type]


def prepared_file(ending: str) -> Path:
    """Both configurations share the arrays of this one."""
    return Path("autoseg_2d" if ending == ".json" else "autoseg_3d_fullres") / f"case_001{ending}"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def cut_fingerprint(place: Place) -> None:
    """In the word before the first of the measured numbers, whose digits may differ."""
    path = place.prepared / "fingerprint.json"
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b'"likenesses"') + 5])


def objects(path: Path, trace: Path) -> None:
    """An array that runs code when it is opened the careless way."""
    array = np.empty(1, object)
    array[0] = Hostile(trace)
    np.save(path, array, allow_pickle=True)


def planned_without(place: Place, name: str) -> None:
    content = encode(load_plans(place.plans()))
    del content["configurations"]["2d"][name]
    place.plans().write_bytes(pickle.dumps(content, protocol=4))


FROM_FINGERPRINT = (
    "autoseg_plan_from_fingerprint -i {home}/preprocessed/Task001_Balls/fingerprint.json -o {outer}/planned"
)

ENTRIES: tuple[Entry, ...] = (
    trained(
        "plans missing",
        lambda place: place.plans().unlink(),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: no plans here; run autoseg_plan_and_preprocess first",
    ),
    trained(
        "plans empty",
        plans_are(b""),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: not a whole pickle: pickle exhausted before seeing STOP\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans cut short",
        lambda place: place.plans().write_bytes(place.plans().read_bytes().partition(b"pared_as")[0]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: not a whole pickle: expected 11 bytes in a unicodestring1, but only 3 remain\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans that are text",
        plans_are(b"patch_size: 64"),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: not a whole pickle: no newline found when trying to read stringnl\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans that make a folder",
        lambda place: pickled(Hostile(place.outer / "ran"))(place),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: refused: the pickle opcode STACK_GLOBAL at byte 27 could build or run something; plans hold plain values only. Do not trust this file.\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans that import by their text",
        plans_are(b"cos\nsystem\n(S'true'\ntR."),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: refused: the pickle opcode GLOBAL at byte 0 could build or run something; plans hold plain values only. Do not trust this file.\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans of an older protocol",
        pickled({"format": 1}, protocol=0),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: refused: the pickle opcode DICT at byte 1 could build or run something; plans hold plain values only. Do not trust this file.\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans that hold themselves a billion times",
        plans_are(doubled()),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: refused: the pickle opcode BINGET at byte 103 refers to something that is not text; plans hold plain values only. Do not trust this file.\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans that are a list",
        pickled([1, 2, 3]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: plans of format None, but this autoseg reads format 1 and 2; install a matching version or plan again",
    ),
    trained(
        "plans of a newer format",
        all_planned("2d", format=3, version="9.1.0"),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: plans of format 3 (autoseg 9.1.0), but this is autoseg 0.1.0, which reads format 1 and 2; install a matching version or plan again",
    ),
    trained(
        "plans with a field missing",
        lambda place: planned_without(place, "batch_size"),
        message="autoseg_plans_2D.pkl.configurations.2d: wrong fields: missing batch_size\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans with a field too many",
        planned("2d", dropout=0.5),
        message="autoseg_plans_2D.pkl.configurations.2d: wrong fields: unknown dropout\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans with text for a number",
        planned("2d", batch_size="12"),
        message="autoseg_plans_2D.pkl.configurations.2d.batch_size: expected int, found '12'\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans with a patch of a billion",
        planned("2d", patch_size=[HUGE, HUGE]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: a batch of 2 patches of (1000000000, 1000000000) is impossibly large; at most 268435456 voxels",
    ),
    trained(
        "plans with a patch of zero",
        planned("2d", patch_size=[0, 8]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: every side of the patch (0, 8) must be divisible by (2, 2), the product of the strides",
    ),
    trained(
        "plans with a patch that does not pool",
        planned("2d", patch_size=[13, 13]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: every side of the patch (13, 13) must be divisible by (2, 2), the product of the strides",
    ),
    trained(
        "plans with a patch of three sides for slices",
        planned("2d", patch_size=[8, 8, 8]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: patch (8, 8, 8) and kernels must have the same two or three dimensions",
    ),
    trained(
        "plans with a batch of a billion",
        planned("2d", batch_size=HUGE),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: a batch of 1000000000 patches of (12, 12) is impossibly large; at most 268435456 voxels",
    ),
    trained(
        "plans with a billion features",
        planned("2d", features=HUGE, max_features=HUGE),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: a network of 1000000000 to 1000000000 features and about 1.8e+19 weights is impossibly large; at most 1.1e+09",
    ),
    trained(
        "plans with a billion convolutions",
        planned("2d", convs_per_stage=HUGE),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: a level has at most 1000 convolutions or blocks",
    ),
    trained(
        "plans with 70000 labels",
        all_planned("2d", labels=[str(number) for number in range(70000)]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 70000 labels and 1 channel: too many; at most 32768 and 1000 can be used",
    ),
    trained(
        "plans with a thousand channels",
        all_planned("2d", channels=[str(number) for number in range(1001)]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2 labels and 1001 channels: too many; at most 32768 and 1000 can be used",
    ),
    trained(
        "plans with one label",
        all_planned("2d", labels=["background"]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: labels must be the background and more, each named once, found background",
    ),
    trained(
        "plans with negative spacing",
        planned("2d", spacing=[1.0, -1.0, 1.0]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: spacing must be from 1e-06 to 1e+06 mm, found (1.0, -1.0, 1.0)",
    ),
    trained(
        "plans with infinite spacing",
        planned("2d", spacing=[1.0, float("inf"), 1.0]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: spacing must be from 1e-06 to 1e+06 mm, found (1.0, inf, 1.0)",
    ),
    trained(
        "plans with a spacing that is no number",
        planned("2d", spacing=[1.0, float("nan"), 1.0]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: spacing must be from 1e-06 to 1e+06 mm, found (1.0, nan, 1.0)",
    ),
    trained(
        "plans with a spacing of 400 digits",
        planned("2d", spacing=[10**400, 1.0, 1.0]),
        message="autoseg_plans_2D.pkl.configurations.2d.grid.spacing[0]: expected float, found 100000000000000000...0000000000000000000\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    trained(
        "plans with a kernel of a billion",
        planned("2d", kernels=[[HUGE + 1] * 2, [3, 3]]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: a U-Net has at most 32 levels and kernels of 63",
    ),
    trained(
        "plans with even kernels",
        planned("2d", kernels=[[2, 2], [3, 3]]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: kernels must be odd, found ((2, 2), (3, 3))",
    ),
    trained(
        "plans with a median case of no size",
        planned("2d", median_shape=[0, 12, 12]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: median_shape must be from 1 to 262144 voxels, found (0, 12, 12)",
    ),
    trained(
        "plans with an unknown normalisation",
        planned("2d", intensities=[{"name": "zscore", "masked": False}]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: unknown normalisation zscore; plans call it nonCT",
    ),
    trained(
        "plans with an unknown network",
        planned("2d", network={"name": "transformer", "settings": {}}),
        writes=NEW_FOLD,
        message="2d: no network is called 'transformer', known are unet, residual_unet; correct `network.name` in the plans, or train with a trainer that builds its own",
    ),
    trained(
        "plans that turn axes without turning back",
        all_planned("2d", transpose_backward=[0, 2, 1]),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: transpose_backward (0, 2, 1) does not undo (0, 1, 2)",
    ),
    trained(
        "plans of another configuration",
        planned("2d", name="3d_fullres"),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: the configuration under '2d' calls itself '3d_fullres'",
    ),
    trained(
        "plans that follow what is not planned",
        planned("2d", previous="3d_lowres"),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: 2d: follows 3d_lowres, which is not planned",
    ),
    trained(
        "plans with intensities that are no numbers",
        all_planned(
            "2d",
            intensities=[
                dict.fromkeys(
                    ("mean", "sd", "median", "minimum", "maximum", "percentile_00_5", "percentile_99_5"), float("nan")
                )
            ],
        ),
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.pkl: channel 0: its intensities must be finite numbers, found IntensityStatistics(mean=nan, sd=nan, median=nan, minimum=nan, maximum=nan, percentile_00_5=nan, percentile_99_5=nan)",
    ),
    trained(
        "a configuration that is not planned",
        nothing,
        words="autoseg_train 3d_lowres Trainer 1 0",
        message="Task001_Balls: 3d_lowres is not planned; planned are 2d, 3d_fullres; train one of these, or plan again: autoseg_plan_and_preprocess says why it was left out",
    ),
    Entry(
        name="an edited view with a syntax error",
        spoil=lambda place: place.plans().with_suffix(".json").write_text('{"format": 1,'),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 14 (char 13)\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json is damaged or was edited wrongly; correct that place of the file; the plans that were there stay",
    ),
    Entry(
        name="an edited view with an absurd patch",
        spoil=view(lambda plans: plans["configurations"]["2d"]["sampling"].update(patch_size=[HUGE, 8])),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: 2d: a batch of 2 patches of (1000000000, 8) is impossibly large; at most 268435456 voxels; correct that place of the file; the plans that were there stay",
    ),
    Entry(
        name="an edited view with a network that nobody knows",
        spoil=view(lambda plans: plans["configurations"]["2d"]["network"].update(name="transformer")),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: 2d.network.name: no network is called 'transformer', known are unet, residual_unet; take one of these; a trainer that builds a network of its own may ignore it",
    ),
    Entry(
        name="an edited view with a residual network without blocks",
        spoil=view(lambda plans: plans["configurations"]["2d"]["network"].update(name="residual_unet")),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: 2d.network.settings.blocks_per_stage: a residual_unet needs a number of blocks for each level (2 levels), found null",
    ),
    Entry(
        name="an edited view whose patch ends in one voxel",
        spoil=view(lambda plans: plans["configurations"]["2d"]["sampling"].update(patch_size=[2, 2])),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: 2d.sampling.patch_size: a patch of (2, 2) ends in a single voxel after all poolings, which cannot be normalised; take a larger one, or fewer poolings",
    ),
    Entry(
        name="an edited view of a newer autoseg with a field more",
        spoil=view(lambda plans: plans.update(version="9.1", regions=[])),
        words=FROM_JSON,
        message="autoseg_plans_2D.json: wrong fields: unknown regions\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json is damaged or was edited wrongly; autoseg 9.1 made it, and this is autoseg {some}; install 9.1 or newer",
    ),
    Entry(
        name="an edited view nested 70 deep",
        spoil=view(lambda plans: plans.update(labels=json.loads("[" * 70 + "]" * 70))),
        words=FROM_JSON,
        message="{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json: nested deeper than 64 levels\n{home}/preprocessed/Task001_Balls/autoseg_plans_2D.json is damaged or was edited wrongly; correct that place of the file; the plans that were there stay",
    ),
    Entry(
        name="a fingerprint cut short",
        spoil=cut_fingerprint,
        words=FROM_FINGERPRINT,
        message="planning: 1 of 1 case failed\n  {home}/preprocessed/Task001_Balls/fingerprint.json: {home}/preprocessed/Task001_Balls/fingerprint.json: not valid JSON: Unterminated string starting at: line 204 column 2 (char 2821); correct it, or run autoseg_plan_and_preprocess again",
    ),
    Entry(
        name="a fingerprint of a newer format",
        spoil=fingerprint(lambda content: content.update(format=7, version="9.1")),
        words=FROM_FINGERPRINT,
        message="planning: 1 of 1 case failed\n  {home}/preprocessed/Task001_Balls/fingerprint.json: {home}/preprocessed/Task001_Balls/fingerprint.json: expected format 1, found 7; autoseg 9.1 made it, and this is autoseg {some}; install 9.1 or newer",
    ),
    Entry(
        name="a fingerprint with negative spacing",
        spoil=fingerprint(lambda content: content["spacings"][0].__setitem__(0, -1.0)),
        words=FROM_FINGERPRINT,
        message="planning: 1 of 1 case failed\n  {home}/preprocessed/Task001_Balls/fingerprint.json: {home}/preprocessed/Task001_Balls/fingerprint.json: case case_000: the spacing must be positive, found (-1.0, 1.0, 1.0); correct it, or run autoseg_plan_and_preprocess again",
    ),
    Entry(
        name="a fingerprint with huge cases",
        spoil=fingerprint(lambda content: content.update(shapes=[[10**12] * 3 for _ in range(5)])),
        words=FROM_FINGERPRINT,
        message="planning: 1 of 1 case failed\n  {home}/preprocessed/Task001_Balls/fingerprint.json: {home}/preprocessed/Task001_Balls/fingerprint.json: case case_000: every side must have 1 to 262144 voxels, found (1000000000000, 1000000000000, 1000000000000); correct it, or run autoseg_plan_and_preprocess again",
    ),
    Entry(
        name="a fingerprint that lacks a case's size",
        spoil=fingerprint(lambda content: content.update(shapes=content["shapes"][1:])),
        words=FROM_FINGERPRINT,
        message="planning: 1 of 1 case failed\n  {home}/preprocessed/Task001_Balls/fingerprint.json: {home}/preprocessed/Task001_Balls/fingerprint.json: 5 cases need as many entries in shapes, found 4; correct it, or run autoseg_plan_and_preprocess again",
    ),
    trained(
        "a prepared case cut short",
        lambda place: cut(place.prepared / prepared_file(".npy")),
        words="autoseg_train 2d Trainer 1 1 -device cpu --num_workers 0",
        writes=NEW_FOLD,
        message="case case_001: no patch can be made of it: damaged in {home}/preprocessed/Task001_Balls/autoseg_3d_fullres: case_001.npy: mmap length is greater than file size; delete case_001.json there and run autoseg_plan_and_preprocess again",
    ),
    trained(
        "a prepared case with a damaged marker",
        lambda place: (place.prepared / prepared_file(".json")).write_text("{}"),
        words="autoseg_train 2d Trainer 1 1 -device cpu --num_workers 0 --epochs 1",
        writes=NEW_FOLD,
        message="case case_001: damaged in {home}/preprocessed/Task001_Balls/autoseg_2d: expected format 2, found None; delete case_001.json there and run autoseg_plan_and_preprocess again",
    ),
    trained(
        "a prepared case of objects",
        lambda place: objects(place.prepared / prepared_file("_seg.npy"), place.outer / "ran"),
        words="autoseg_train 2d Trainer 1 1 -device cpu --num_workers 0 --epochs 2",
        writes=NEW_FOLD,
        message="case case_001: no patch can be made of it: damaged in {home}/preprocessed/Task001_Balls/autoseg_3d_fullres: case_001_seg.npy: Array can't be memory-mapped: Python objects in dtype.; delete case_001.json there and run autoseg_plan_and_preprocess again",
    ),
    trained(
        "a prepared case missing",
        lambda place: (place.prepared / prepared_file(".json")).unlink(),
        message="{home}/preprocessed/Task001_Balls/autoseg_2d: 4 of 5 cases are prepared here (case_001); run autoseg_plan_and_preprocess first",
    ),
)
