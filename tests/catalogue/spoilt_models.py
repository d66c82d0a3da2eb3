"""Checkpoints, weights, selections, postprocessing, and images that do not fit the model."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from spoiling import (
    Entry,
    Hostile,
    Place,
    Spoil,
    checkpoint_changed,
    edit,
    field_of,
    voxels,
    weights_changed,
)

from autoseg.files.storage import encode
from autoseg.plans import load_plans

PREDICT = "autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/out -m 2d -device cpu --disable_tta"
BEST = "autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs -o {outer}/out --best -device cpu"
CONTINUE = "autoseg_train 2d Trainer 1 0 -c --epochs 2 --iterations_per_epoch 1 --num_workers 0 -device cpu"
APPLY = "autoseg_apply_postprocessing -i {home}/raw_data/Task001_Balls/labelsTr -o {outer}/out -pp {outer}/rules.json"
FRESH = "autoseg_train 2d Trainer 1 1 --epochs 1 --iterations_per_epoch 1 --num_workers 0 -device cpu"
LOG = ("home/results/2d/Task001_Balls/Trainer__autoseg/fold_0/training.log",)
NEW_FOLD = ("home/results/2d/Task001_Balls/Trainer__autoseg/fold_1*", "*/fold_1/*")


def predicted(name: str, spoil: Spoil, message: str, words: str = PREDICT, **more: object) -> Entry:
    return Entry(name=name, spoil=spoil, words=words, message=message, **more)  # type: ignore[arg-type]


def continued(name: str, spoil: Spoil, message: str) -> Entry:
    return Entry(name=name, spoil=spoil, words=CONTINUE, message=message, writes=LOG)


def applied(name: str, content: object, message: str) -> Entry:
    text = content if isinstance(content, str) else json.dumps(content)
    return Entry(
        name=name, spoil=lambda place: (place.outer / "rules.json").write_text(text), words=APPLY, message=message
    )


def checkpoint(place: Place) -> Path:
    return place.model() / "fold_0" / "checkpoint.pt"


def runs_code(path: Path, place: Place) -> None:
    import torch

    torch.save({"format": 1, "weights": Hostile(place.outer / "ran")}, path)


def old_pickle(place: Place) -> None:
    """As torch wrote files before 1.6, which runs code where `weights_only` is believed in old versions."""
    import torch

    content = torch.load(place.weights(), weights_only=True)
    torch.save(content, place.weights(), _use_new_zipfile_serialization=False)


def of_another_network(place: Place) -> None:
    shutil.copyfile(place.weights("3d_fullres"), place.weights("2d"))


def scaled(content: dict[str, object], factor: float) -> None:
    weights = content["weights"]
    assert isinstance(weights, dict)
    name = next(iter(weights))
    weights[name] = weights[name] * factor


def without_first(content: dict[str, object]) -> None:
    weights = content["weights"]
    assert isinstance(weights, dict)
    del weights[next(iter(weights))]


def bigger(content: dict[str, object]) -> None:
    """A tensor of a terabyte, of four bytes in the file."""
    import torch

    weights = content["weights"]
    assert isinstance(weights, dict)
    weights["extra"] = torch.zeros(1).expand(2**38)


def packed(place: Place) -> None:
    """Weights in a zip file that is packed, as torch writes none."""
    path = place.weights()
    with zipfile.ZipFile(path) as opened:
        files = {info.filename: opened.read(info) for info in opened.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)


def more_channels(place: Place) -> None:
    shutil.copyfile(place.new, place.new.with_name("test_005_0001.nii.gz"))


def two_channels(place: Place) -> None:
    """The model takes two."""
    from autoseg.inference.model import load_weights, save_weights
    from autoseg.networks import build_network

    path = place.model() / "plans.pkl"
    content = encode(load_plans(path))
    content["channels"] = ["T1", "T2"]
    content["intensities"] = None
    for plan in content["configurations"].values():
        plan["intensities"] = [dict(rule) for rule in plan["intensities"] * 2]
    path.write_bytes(pickle.dumps(content, protocol=4))
    network = build_network(load_plans(path).configuration("2d"), 2, 2)
    save_weights(place.weights(), replace(load_weights(place.weights()), weights=dict(network.state_dict())))


def plans_that_run(place: Place) -> None:
    (place.model() / "plans.pkl").write_bytes(pickle.dumps(Hostile(place.outer / "ran"), protocol=4))


def earlier(place: Place) -> None:
    """A segmentation is there, and the record of another model."""
    out = place.outer / "out"
    out.mkdir()
    shutil.copyfile(place.label, out / "test_005.nii.gz")
    (out / "prediction.json").write_text("{}")


def a_list(path: Path) -> None:
    import torch

    torch.save([1, 2], path)


def best_model(change: object) -> Spoil:
    return lambda place: edit(place.selection, change)  # type: ignore[arg-type]


def another_member(content: dict[str, object]) -> None:
    members = content["members"]
    assert isinstance(members, list)
    members[0]["plans"] = "../../../elsewhere"


def rules(content: object) -> Spoil:
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda place: (place.model() / "postprocessing.json").write_text(text)


ENTRIES: tuple[Entry, ...] = (
    predicted(
        "weights missing",
        lambda place: place.weights().unlink(),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg: no fold here has weights_final.pt; train it with: autoseg_train 2d Trainer Task001_Balls 0",
    ),
    predicted(
        "weights empty",
        lambda place: place.weights().write_bytes(b""),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights cut short",
        lambda place: place.weights().write_bytes(place.weights().read_bytes()[:-900]),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights that are text",
        lambda place: place.weights().write_text("weights"),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights that make a folder",
        lambda place: runs_code(place.weights(), place),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it holds more than tensors and plain values. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights as an old pickle",
        old_pickle,
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it is cut short, or no file of tensors as torch writes them. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights in a packed zip",
        packed,
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: its tensors are packed, as no weights are; they could fill the memory. Do not trust this file; get it again or train again.",
    ),
    predicted(
        "weights of a newer format",
        weights_changed(lambda content: content.update(format=99, version="9.1.0")),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: weights of format 99 (autoseg 9.1.0), but this is autoseg 0.1.0, which reads format 1; install a matching version or train again",
    ),
    predicted(
        "weights with a field missing",
        weights_changed(lambda content: content.pop("mirror_axes")),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: wrong fields: missing mirror_axes; get the file again or train again",
    ),
    predicted(
        "weights with text for a number",
        weights_changed(lambda content: content.update(epoch="ten")),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt.epoch: expected int, found 'ten'; get the file again or train again",
    ),
    predicted(
        "weights that mirror an axis there is not",
        weights_changed(lambda content: content.update(mirror_axes=[5])),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: mirrors the axes (5,), but a patch of 2d has 2; get the file again or train again",
    ),
    predicted(
        "weights of another network",
        of_another_network,
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: mirrors the axes (0, 1, 2), but a patch of 2d has 2; get the file again or train again",
    ),
    predicted(
        "weights that lack a tensor",
        weights_changed(without_first),
        message='{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: these weights are of another network than the plans describe; the plans or the trainer were changed after training\nError(s) in loading state_dict for UNet:\n\tMissing key(s) in state_dict: "encoder.0.0.0.weight". ',
    ),
    predicted(
        "weights with a tensor of a terabyte",
        weights_changed(bigger),
        message='{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: these weights are of another network than the plans describe; the plans or the trainer were changed after training\nError(s) in loading state_dict for UNet:\n\tUnexpected key(s) in state_dict: "extra". ',
    ),
    predicted(
        "weights that are no numbers",
        weights_changed(lambda content: scaled(content, float("nan"))),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: encoder.0.0.0.weight holds NaN or infinite weights; get the file again or train again",
    ),
    predicted(
        "a fold that is not trained",
        lambda _: None,
        words=PREDICT + " -f 3",
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_3/weights_final.pt: no weights of fold 3 here; train it with: autoseg_train 2d Trainer Task001_Balls 3",
    ),
    predicted(
        "a configuration that is not trained",
        lambda _: None,
        words=PREDICT.replace("2d", "3d_lowres"),
        message="{home}/results/3d_lowres/Task001_Balls/Trainer__autoseg: no such model; trained are:\n  -m 2d -tr Trainer -p autoseg\n  -m 3d_fullres -tr Trainer -p autoseg",
    ),
    predicted(
        "the model's plans missing",
        lambda place: (place.model() / "plans.pkl").unlink(),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/plans.pkl: no plans here; run autoseg_plan_and_preprocess first",
    ),
    predicted(
        "the model's plans that make a folder",
        lambda place: plans_that_run(place),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/plans.pkl: refused: the pickle opcode STACK_GLOBAL at byte 27 could build or run something; plans hold plain values only. Do not trust this file.\n{home}/results/2d/Task001_Balls/Trainer__autoseg/plans.pkl is damaged or was edited wrongly; run autoseg_plan_and_preprocess again",
    ),
    predicted(
        "more channels than the plan",
        more_channels,
        message="{home}/raw_data/Task001_Balls/imagesTs: 1 case without exactly the channels needed; give each <case>_0000 and no other\n  test_005: expected channels [0], found [0, 1]",
    ),
    predicted(
        "fewer channels than the plan",
        two_channels,
        message="{home}/raw_data/Task001_Balls/imagesTs: 1 case without exactly the channels needed; give each <case>_0000, <case>_0001 and no other\n  test_005: expected channels [0, 1], found [0]",
    ),
    predicted(
        "no images",
        lambda place: place.new.unlink(),
        message="{home}/raw_data/Task001_Balls/imagesTs: no images here; name them <case>_0000.nii.gz, <case>_0001.nii.gz, ...",
    ),
    predicted(
        "images in two formats",
        lambda place: shutil.copyfile(place.new, place.new.with_name("test_005_0000.nii")),
        message="{home}/raw_data/Task001_Balls/imagesTs: cases given in two file formats: test_005; keep one of each",
    ),
    predicted(
        "a new image with NaN",
        lambda place: voxels(place.new, lambda data: data.__setitem__((0, 0, 0), np.nan)),
        writes=("out", "out/prediction.json", "out/report.json"),
        message="predicting: 1 of 1 case failed\n  test_005: channel 0 holds NaN or infinite intensities; replace them in the image file, then run again (autoseg_verify_dataset lists every such file)",
    ),
    predicted(
        "a new image cut short",
        lambda place: place.new.write_bytes(place.new.read_bytes()[:-100]),
        writes=("out", "out/prediction.json", "out/report.json"),
        message="predicting: 1 of 1 case failed\n  test_005: {home}/raw_data/Task001_Balls/imagesTs/test_005_0000.nii.gz: is truncated or damaged (Compressed file ended before the end-of-stream marker was reached); copy or download it again",
    ),
    predicted(
        "a new image with zero spacing",
        lambda place: field_of(place.new, 80, "3f", 0.0, 1.0, 1.0),
        writes=("out", "out/prediction.json", "out/report.json"),
        message="predicting: 1 of 1 case failed\n  test_005: {home}/raw_data/Task001_Balls/imagesTs/test_005_0000.nii.gz: declares a voxel size of (0, 1, 1) mm; every side must be above zero, from 1e-06 to 1e+06 mm; write the true voxel size (pixdim) into its header",
    ),
    predicted(
        "a new image of a kilometre a voxel",
        lambda place: field_of(place.new, 80, "3f", 1e6, 1e6, 1e6),
        writes=("out", "out/prediction.json", "out/report.json"),
        message="predicting: 1 of 1 case failed\n  test_005: its voxel size of 1e+06 x 1e+06 x 1e+06 mm makes it 8 x 12000000 x 12000000 voxels at the plan's 1e+06 x 1 x 1 mm, more than the {some} of free memory hold; check its voxel size, crop it, or use a larger machine",
    ),
    predicted(
        "two files for one channel",
        lambda _: None,
        words="autoseg_predict -i {home}/raw_data/Task001_Balls/imagesTs/test_005_0000.nii.gz {home}/raw_data/Task001_Balls/imagesTr/case_001_0000.nii.gz -o {outer}/out.nii.gz -m 2d",
        message="{home}/raw_data/Task001_Balls/imagesTs/test_005_0000.nii.gz, {home}/raw_data/Task001_Balls/imagesTr/case_001_0000.nii.gz: 2 files given, but the model takes 1 channel; give one file for each channel in their order, or a folder",
    ),
    predicted(
        "predictions of another model in the folder",
        lambda place: earlier(place),
        message="{outer}/out: holds predictions made with something else (format was None, now 1; dataset was None, now Task001_Balls; plans was None, now autoseg; configuration was None, now 2d; trainer was None, now Trainer; folds was None, now ['0']; checkpoint was None, now final; step_size was None, now 0.5; mirror_axes was None, now []; mode was None, now normal; postprocessing was None, now []); name another folder, or predict all of them again with --overwrite_existing",
    ),
    predicted(
        "the folder for predictions is a file",
        lambda place: (place.outer / "out").write_text("mine"),
        message="{outer}/out: for a folder of images, -o names a folder, not a file",
    ),
    predicted(
        "postprocessing cut short",
        rules('{"format": 1, "rules": ['),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json: not valid JSON: Expecting value: line 1 column 25 (char 24); choose the postprocessing again or put the file right",
    ),
    predicted(
        "postprocessing of a newer format",
        rules({"format": 3, "rules": []}),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json: postprocessing of format 3, but this autoseg reads format 1; install a matching version or choose the postprocessing again",
    ),
    predicted(
        "postprocessing by a rule that nobody knows",
        rules({"format": 1, "rules": [{"kind": "smooth", "labels": [1]}]}),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json: postprocessing: the rule 'smooth' is not known; known are keep_largest, remove_small, fill_holes",
    ),
    predicted(
        "postprocessing of a label that the model has not",
        rules({"format": 1, "rules": [{"kind": "keep_largest", "labels": [7]}]}),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json: a rule names label 7, but the model's labels are 1 to 1; choose the postprocessing again or put the file right",
    ),
    predicted(
        "postprocessing of masks beside a model of labels",
        rules({"format": 1, "masks": ["axon"], "rules": [{"kind": "keep_largest", "labels": [1]}]}),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/postprocessing.json: its rules are of axon, but the model predicts background, ball, or tells them otherwise; choose the postprocessing again or put the file right",
    ),
    predicted(
        "no selection",
        lambda place: place.selection.unlink(),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: nothing is selected yet; run autoseg_find_best_configuration",
    ),
    predicted(
        "a selection cut short",
        lambda place: place.selection.write_bytes(place.selection.read_bytes()[:-40]),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: not valid JSON: Unterminated string starting at: line 30 column 2 (char 354); run autoseg_find_best_configuration again",
    ),
    predicted(
        "a selection of a newer format",
        best_model(lambda content: content.update(format=99, version="9.1.0")),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: a selection of format 99 (autoseg 9.1.0), but this is autoseg 0.1.0, which reads format 1; install a matching version or select again",
    ),
    predicted(
        "a selection without models",
        best_model(lambda content: content.update(members=[])),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: Task001_Balls: a selection needs at least one model, each with at least one fold; run autoseg_find_best_configuration again",
    ),
    predicted(
        "a selection of another task",
        best_model(lambda content: content.update(task="Task002_Cubes")),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: was selected for Task002_Cubes, not for Task001_Balls; select anew with autoseg_find_best_configuration -t Task001_Balls",
    ),
    predicted(
        "a selection with a model outside of the results",
        best_model(another_member),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: '../../../elsewhere' names no model; run autoseg_find_best_configuration again",
    ),
    predicted(
        "a selection with a fold that is a path",
        best_model(lambda content: content["members"][0].update(folds=["../../fold_0"])),
        words=BEST,
        message="{home}/results/selections/Task001_Balls/selection.json: '../../fold_0' names no model; run autoseg_find_best_configuration again",
    ),
    applied(
        "rules that are a list",
        [],
        message="{outer}/rules.json: postprocessing of format None, but this autoseg reads format 1; install a matching version or choose the postprocessing again",
    ),
    applied(
        "rules without a volume",
        {"format": 1, "rules": [{"kind": "remove_small", "labels": [1]}]},
        message="{outer}/rules.json: postprocessing: remove_small needs minimum_mm3, a volume above 0, found None",
    ),
    applied(
        "rules with a negative volume",
        {"format": 1, "rules": [{"kind": "remove_small", "labels": [1], "minimum_mm3": -3}]},
        message="{outer}/rules.json: postprocessing: remove_small needs minimum_mm3, a volume above 0, found -3.0",
    ),
    applied(
        "rules of the background",
        {"format": 1, "rules": [{"kind": "keep_largest", "labels": [0]}]},
        message="{outer}/rules.json: postprocessing: a rule needs labels above background, found [0]",
    ),
    applied(
        "rules of masks that are no list",
        {"format": 1, "masks": "axon", "rules": []},
        message='{outer}/rules.json: masks: expected a list of names such as ["axon", "myelin"], found \'axon\'',
    ),
    applied(
        "rules of regions in an unknown order",
        {"format": 1, "labels": {"background": 0, "whole": [1, 2]}, "regions_class_order": [3], "rules": []},
        message="{outer}/rules.json: regions_class_order: 3: no region covers it",
    ),
    applied(
        "rules of a mask that there is not",
        {"format": 1, "masks": ["axon"], "rules": [{"kind": "keep_largest", "labels": [2]}]},
        message="postprocessing: the rule keep_largest of 2 touches the labels [2], but there are only [1]; put the rule right",
    ),
    applied(
        "rules of masks for files that are none",
        {"format": 1, "masks": ["axon"], "rules": [{"kind": "keep_largest", "labels": [1]}]},
        message="{home}/raw_data/Task001_Balls/labelsTr: no case_000_axon.nii.gz, case_001_axon.nii.gz, case_002_axon.nii.gz, case_003_axon.nii.gz, case_004_axon.nii.gz here; each output (axon) has a file of its own; predict these cases again, or move away what is no segmentation",
    ),
    applied(
        "rules with a field too many",
        {"format": 1, "rules": [{"kind": "keep_largest", "labels": [1], "size": 3}]},
        message="{outer}/rules.json: rules[0]: wrong fields: unknown size; choose the postprocessing again or put the file right",
    ),
    applied(
        "rules nested 100 deep",
        '{"format": 1, "rules": ' + "[" * 100 + "]" * 100 + "}",
        message="{outer}/rules.json: nested deeper than 64 levels; choose the postprocessing again or put the file right",
    ),
    continued(
        "a checkpoint empty",
        lambda place: checkpoint(place).write_bytes(b""),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: refused: it is cut short, or no file of tensors as torch writes them; start anew with --overwrite",
    ),
    continued(
        "a checkpoint cut short",
        lambda place: checkpoint(place).write_bytes(checkpoint(place).read_bytes()[:-900]),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: refused: it is cut short, or no file of tensors as torch writes them; start anew with --overwrite",
    ),
    continued(
        "a checkpoint that makes a folder",
        lambda place: runs_code(checkpoint(place), place),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: refused: it holds more than tensors and plain values; start anew with --overwrite",
    ),
    continued(
        "a checkpoint of a newer format",
        checkpoint_changed(lambda content: content.update(format=99, version="9.1.0")),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: a checkpoint of format 99 (autoseg 9.1.0), but this is autoseg 0.1.0, which reads format 2; continue with a matching version, or start anew with --overwrite",
    ),
    continued(
        "a checkpoint of another training",
        checkpoint_changed(lambda content: content.update(iterations_per_epoch=7)),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: this training began under other conditions: iterations_per_epoch was 7, now 1; continue it with the same, or start anew with --overwrite",
    ),
    continued(
        "a checkpoint of another network",
        checkpoint_changed(lambda content: content.update(network={})),
        message='the checkpoint is of another network or optimiser than this trainer\'s, or damaged: Error(s) in loading state_dict for UNet:\n\tMissing key(s) in state_dict: "encoder.0.0.0.weight", "encoder.0.0.0.bias", "encoder.0.0.1.weight", "encoder.0.0.1.bias", "encoder.1.0.0.weight", "encoder.1.0.0.bias", "encoder.1.0.1.weight", "encoder.1.0.1.bias", "upsampling.0.weight", "decoder.0.0.0.weight", "decoder.0.0.0.bias", "decoder.0.0.1.weight", "decoder.0.0.1.bias", "heads.0.weight". ; start anew with --overwrite',
    ),
    continued(
        "a checkpoint with a field missing",
        checkpoint_changed(lambda content: content.pop("sums")),
        message="the checkpoint is of another network or optimiser than this trainer's, or damaged: 'sums'; start anew with --overwrite",
    ),
    continued(
        "a checkpoint with text for the epoch",
        checkpoint_changed(lambda content: content.update(epoch="two")),
        message="the checkpoint is of another network or optimiser than this trainer's, or damaged: epoch: expected int, found 'two'; start anew with --overwrite",
    ),
    continued(
        "a checkpoint with the wrong history",
        checkpoint_changed(lambda content: content.update(records=[{"epoch": 0}])),
        message="the checkpoint is of another network or optimiser than this trainer's, or damaged: records[0]: wrong fields: missing best, dice, dice_average, dice_per_class, learning_rate, loss, seconds, validation_loss; start anew with --overwrite",
    ),
    continued(
        "a checkpoint that is a list",
        lambda place: a_list(checkpoint(place)),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/checkpoint.pt: a checkpoint of format None, but this autoseg reads format 2; continue with a matching version, or start anew with --overwrite",
    ),
    Entry(
        name="a fold that is trained already",
        words=CONTINUE.replace(" -c", ""),
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0: a training lies here already; continue it with -c, or discard it with --overwrite",
        writes=LOG,
    ),
    Entry(
        name="pretrained weights that are not there",
        words=FRESH + " -pretrained_weights {outer}/absent.pt",
        message="{outer}/absent.pt: no weights here; train this fold with autoseg_train first",
        writes=NEW_FOLD,
    ),
    Entry(
        name="pretrained weights that make a folder",
        spoil=lambda place: runs_code(place.weights(), place),
        words=FRESH + " -pretrained_weights {home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt",
        message="{home}/results/2d/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: refused: it holds more than tensors and plain values. Do not trust this file; get it again or train again.",
        writes=NEW_FOLD,
    ),
    Entry(
        name="pretrained weights of another network",
        words=FRESH
        + " -pretrained_weights {home}/results/3d_fullres/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt",
        message="{home}/results/3d_fullres/Task001_Balls/Trainer__autoseg/fold_0/weights_final.pt: these weights do not fit the network of this plan\n  encoder.0.0.0.weight: 2x1x3x3 here, 2x1x3x3x3 there\n  encoder.1.0.0.weight: 4x2x3x3 here, 4x2x3x3x3 there\nPlan with the other task's plans, so that both networks are the same, or train without them.",
        writes=NEW_FOLD,
    ),
)
