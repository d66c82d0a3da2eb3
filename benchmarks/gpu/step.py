"""A training step on data at hand: as it trains, as it could, as nnU-Net v2 does it, and where its time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from autoseg.plans import ConfigurationPlan
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Trainer
from autoseg.training.trial import (
    MeasuredStep,
    save_trial_cases,
    step_on_noise,
    time_step,
    trial_plan,
    trial_plans,
    trial_trainer,
)
from gpu.checks import Check, Setting, judge_time, left_out, milliseconds, tried
from gpu.machine import seconds_of, wait_for
from gpu.peer import is_there, peer_step

MENDS = "what the layers and the longest kernels show, and whether it is compiled (autoseg/training/compilation.py)"
SAME = 1.05
KERNELS, STEPS_PROFILED = 12, 3
HIPPOCAMPUS = (40, 56, 40)
STEP_MS, FP16_MS, COMPILED_MS, CHANNELS_LAST_MS, HIPPOCAMPUS_MS = (50, 80), (45, 65), (35, 50), (60, 95), (9, 12)
"""Milliseconds on an H200, counted from operations and bytes, or scaled from what others measured on an A100."""


class ChannelsLast(Trainer):
    """Its weights lie with the channels last, and so do activations."""

    def new_network(self) -> nn.Module:
        network = super().new_network()
        network.to(memory_format=torch.channels_last_3d)
        return network


def checks(setting: Setting) -> Iterator[Check]:
    """Of large cases and of hippocampi."""
    store = save_trial_cases(setting.folder / "step", (setting.side,) * 3)
    large = trial_plan((setting.side,) * 3, **setting.network)
    ours = _timed(setting, store, large)
    yield _judge(setting, "large", ours, COMPILED_MS)
    yield tried("step", "nnU-Net v2's", partial(_peer, setting, large, ours.seconds))
    yield from _variants(setting, store, large)
    small = hippocampus(setting)
    make = partial(_judged_step, setting, store, small, "hippocampus", HIPPOCAMPUS_MS, settings={})
    yield tried("step", "hippocampus", make)
    yield from _kernels(setting, store, large)


def hippocampus(setting: Setting) -> ConfigurationPlan:
    """What is planned for hippocampi, or a small one."""
    if setting.is_small:
        return trial_plan((16, 24, 16), batch_size=3, **setting.network)
    return trial_plan(HIPPOCAMPUS, batch_size=9, levels=4)


def _variants(setting: Setting, store: PreparedCases, plan: ConfigurationPlan) -> Iterator[Check]:
    """Other ways to compute the step, of which the fastest tells what ours could be."""
    if not setting.is_cuda:
        yield left_out("step", "large, uncompiled, in fp16, and with channels last")
        return
    for what, kind, settings, usual in (
        ("uncompiled", Trainer, {"compile": False}, STEP_MS),
        ("uncompiled in fp16", Trainer, {"compile": False, "precision": "fp16"}, FP16_MS),
        ("uncompiled, channels last", ChannelsLast, {"compile": False}, CHANNELS_LAST_MS),
        ("in fp16", Trainer, {"precision": "fp16"}, COMPILED_MS),
    ):
        make = partial(_judged_step, setting, store, plan, f"large, {what}", usual, kind=kind, settings=settings)
        yield tried("step", f"large, {what}", make)


def _judged_step(
    setting: Setting,
    store: PreparedCases,
    plan: ConfigurationPlan,
    what: str,
    usual: tuple[float, float],
    *,
    kind: type[Trainer] = Trainer,
    settings: Mapping[str, Any],
) -> Check:
    return _judge(setting, what, _timed(setting, store, plan, kind, **settings), usual)


def _judge(setting: Setting, what: str, step: MeasuredStep, usual: tuple[float, float]) -> Check:
    beside = (", compiled" if step.is_compiled else ", not compiled") + _peak(setting)
    return judge_time("step", what, step.seconds, setting.expect(usual), mend=MENDS, beside=beside)


def _peer(setting: Setting, plan: ConfigurationPlan, ours: float) -> Check:
    if not is_there():
        return left_out("step", "nnU-Net v2's", "nnunetv2 cannot be imported; pip install nnunetv2 beside autoseg")
    if (torch.device(setting.device).index or 0) > 0:
        return left_out("step", "nnU-Net v2's", "it takes the first GPU; choose this one with CUDA_VISIBLE_DEVICES")
    tries, warm_up = (2, 1) if setting.is_small else (30, 10)
    step = peer_step(plan, setting.device, setting.folder / "peer")
    theirs = seconds_of(step, torch.device(setting.device), tries=tries, warm_up=warm_up)
    is_judged = setting.slower is not None
    return Check(
        section="step",
        what="nnU-Net v2's of the same shape",
        measured=f"{milliseconds(theirs)}, {theirs / ours:.2f} times ours",
        expected=f"at least {1 / SAME:.2f} times" if is_judged else "",
        verdict="noted" if not is_judged else "right" if ours <= SAME * theirs else "slow",
        mend=MENDS,
    )


def _timed(
    setting: Setting, store: PreparedCases, plan: ConfigurationPlan, kind: type[Trainer] = Trainer, **settings: Any
) -> MeasuredStep:
    if setting.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setting.device)
    return time_step(_trainer(setting, store, plan, kind, **settings), setting.seconds)


def _trainer(
    setting: Setting, store: PreparedCases, plan: ConfigurationPlan, kind: type[Trainer] = Trainer, **settings: Any
) -> Trainer:
    fold = setting.folder / "step_model" / "fold_0"
    return trial_trainer(kind, store, trial_plans(plan), fold, device=setting.device, **settings)


def _peak(setting: Setting) -> str:
    return f", {torch.cuda.max_memory_allocated(setting.device) / 1e9:.1f} GB" if setting.is_cuda else ""


def _kernels(setting: Setting, store: PreparedCases, plan: ConfigurationPlan) -> Iterator[Check]:
    """What takes longest in a step, in turn."""
    from torch.profiler import ProfilerActivity, profile

    device = torch.device(setting.device)
    step = step_on_noise(_trainer(setting, store, plan))
    step()
    wait_for(device)
    with profile(activities=[ProfilerActivity.CUDA if setting.is_cuda else ProfilerActivity.CPU]) as profiled:
        for _ in range(STEPS_PROFILED):
            step()
        wait_for(device)
    times = {
        event.key: event.self_device_time_total if setting.is_cuda else event.self_cpu_time_total
        for event in profiled.key_averages()
    }
    whole = sum(times.values())
    for name in sorted(times, key=lambda name: -times[name])[: 3 if setting.is_small else KERNELS]:
        seconds = times[name] / 1e6 / STEPS_PROFILED  # the profiler tells microseconds
        yield Check(
            section="step",
            what="longest kernels",
            measured=f"{milliseconds(seconds)} a step, {times[name] / whole:.0%}: {name[:70]}",
        )
