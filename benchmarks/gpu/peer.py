"""A training step of nnU-Net v2, where it can be imported: its own trainer, network, loss and compiler, on noise."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoseg.networks import build_network
from autoseg.plans import ConfigurationPlan
from autoseg.training.sampling.batches import targets_of_levels
from autoseg.training.trial import SEED, TARGET

DATASET = "Dataset900_Trial"
CONFIGURATION = "3d_fullres"
RESAMPLING = ("data", "seg", "probabilities")


def is_there() -> bool:
    """Whether it is installed beside us."""
    return importlib.util.find_spec("nnunetv2") is not None


def peer_step(plan: ConfigurationPlan, device: str, folder: Path) -> Callable[[], object]:
    """One step of its trainer on a batch of the plan's shape, ready to be called."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    prepared = folder / "preprocessed" / DATASET / f"nnUNetPlans_{CONFIGURATION}"
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "case_0.b2nd").touch()  # by which it tells how cases are kept
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        trainer = nnUNetTrainer(_plans(plan), CONFIGURATION, 0, _dataset(), device=torch.device(device))
        trainer.initialize()
    _require_same_network(plan, trainer.network)
    trainer.network.train()
    batch = _noise(plan, torch.device(device))
    return lambda: trainer.train_step(batch)


def _require_same_network(plan: ConfigurationPlan, network: torch.nn.Module) -> None:
    """But for biases, which take no time."""
    with torch.device("meta"):
        ours = build_network(plan, 1, len(TARGET.names))
    sizes = [sum(weights.numel() for weights in one.parameters() if weights.ndim > 1) for one in (ours, network)]
    if sizes[0] != sizes[1]:
        raise RuntimeError(f"not the same network: kernels of {sizes[0]} numbers here, of {sizes[1]} there")


def _noise(plan: ConfigurationPlan, device: torch.device) -> dict[str, Any]:
    generator = np.random.default_rng(SEED)
    labels = generator.integers(len(TARGET.names), size=(plan.batch_size, *plan.sampling.patch_size)).astype(np.int16)
    data = torch.from_numpy(
        generator.standard_normal((plan.batch_size, 1, *plan.sampling.patch_size), dtype=np.float32)
    )
    levels = [
        torch.from_numpy(np.ascontiguousarray(level[:, None]))
        for level in targets_of_levels(labels, plan.topology.strides)
    ]
    is_cuda = device.type == "cuda"
    return {
        "data": data.pin_memory() if is_cuda else data,
        "target": [level.pin_memory() if is_cuda else level for level in levels],
    }


def _dataset() -> dict[str, Any]:
    return {
        "channel_names": {"0": "channel"},
        "labels": {name: number for number, name in enumerate(TARGET.names)},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }


def _plans(plan: ConfigurationPlan) -> dict[str, Any]:
    """The same plan in its words (its `documentation/explanation_plans_files.md`)."""
    strides, levels = [list(one) for one in plan.topology.strides], len(plan.topology.strides)
    unet = plan.network.unet()
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": [min(unet.features * 2**level, unet.max_features) for level in range(levels)],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel) for kernel in plan.topology.kernels],
            "strides": strides,
            "n_conv_per_stage": [unet.convs_per_stage] * levels,
            "n_conv_per_stage_decoder": [unet.convs_per_stage] * (levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    resampling = {f"resampling_fn_{name}": "resample_data_or_seg_to_shape" for name in RESAMPLING} | {
        f"resampling_fn_{name}_kwargs": {"is_seg": name == "seg"} for name in RESAMPLING
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {},
        "continue_training": False,
        "configurations": {
            CONFIGURATION: {
                "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": plan.batch_size,
                "patch_size": list(plan.sampling.patch_size),
                "median_image_size_in_voxels": list(plan.grid.median_shape),
                "spacing": list(plan.grid.spacing),
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                "batch_dice": plan.batch_dice,
                "architecture": architecture,
            }
            | resampling
        },
    }
