"""Whether training and prediction are right on this device, whatever they take."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.errors import Interrupted
from autoseg.files.storage import read_json
from autoseg.inference.model import load_weights, weights_sha256
from autoseg.inference.predictor import Predictor
from autoseg.inference.settings import Computation
from autoseg.plans import ConfigurationPlan, NetworkPlan
from autoseg.training import Trainer
from autoseg.training.compilation import is_compiled
from autoseg.training.fold_run import model_of
from autoseg.training.trial import save_trial_cases, step_on_noise, trial_case, trial_plan, trial_plans, trial_trainer
from gpu.checks import Check, Setting, attempt, left_out
from gpu.machine import known_precisions

PLAN = trial_plan((16, 16, 16), batch_size=2, levels=3, features=8, max_features=32)
RESIDUAL = replace(
    PLAN,
    network=NetworkPlan(
        name="residual_unet", settings={**PLAN.network.settings, "blocks_per_stage": (1, 2, 2), "convs_per_stage": 1}
    ),
)
CASE, UNSEEN = (24, 28, 26), (40, 44, 42)
RUN, SMALL_RUN = {"epochs": 2, "iterations_per_epoch": 6}, {"epochs": 1, "iterations_per_epoch": 3}

LARGE = trial_plan((64, 64, 64), batch_size=8, levels=4, features=32, max_features=128)
LITTLE_MEMORY = 1e9
STEPS_COMPARED = 4
MOST_OTHER_LABELS = 2e-3
"""Of a network that is barely trained: bf16 on a sound CPU moves 0.06 %; what is wrong elsewhere is so altogether."""

JUNK, JUNK_SIZES, JUNK_PIECES = 1e30, range(4, 19), 32
"""What new memory may hold is put there, in pieces of all sizes that momenta have."""


LITTLE = "1 GB for a batch that needs more"
MOMENTUM = "momentum is to be there before the first step: start_momentum in autoseg/training/state.py"
DETERMINISM = "a layer without a deterministic kernel: autoseg/networks/residual.py has one of its own for pooling"
RESUMING = "what a checkpoint holds and is asked for: TrainingState in autoseg/training/state.py"
MEMORY = "in which words the device says so: is_out_of_memory in autoseg/networks/fitting.py"
COMPILING = "autoseg/training/compilation.py, or --no_compile until torch computes it rightly"
LABELS_DIFFER = "autoseg_doctor says whether the device computes rightly at all"


def checks(setting: Setting) -> Iterator[Check]:
    """Each is tried by itself."""
    check = partial(attempt, "right")
    known = known_precisions(setting.device)
    for name in known:
        yield check(f"training in {name}", "finite losses", partial(_trains, setting, name))
    if setting.is_cuda:
        yield check("overflow in the first fp16 step", "momentum 0", partial(_overflow, setting), mend=MOMENTUM)
    else:
        yield left_out("right", "overflow in the first fp16 step")
    for plan in (PLAN, RESIDUAL):
        what = f"--deterministic twice, {plan.network.name}"
        yield check(what, "equal weights", partial(_twice, setting, plan), mend=DETERMINISM)
    yield check("stopped and continued", "the weights of one that was not", partial(_stopped, setting), mend=RESUMING)
    for first, second in permutations(known, 2):
        what = f"stopped in {first}, continued in {second}"
        yield check(what, "finite losses", partial(_across, setting, first, second), mend=RESUMING)
    if setting.is_cuda:
        expected = "fewer than 8 at once, finite losses"
        yield check(LITTLE, expected, partial(_memory, setting), mend=MEMORY)
    else:
        yield left_out("right", LITTLE)
    if setting.is_cuda:
        yield check("compiled", "losses of one that is not, to 1 %", partial(_compiled, setting), mend=COMPILING)
    else:
        yield left_out("right", "compiled")
    expected = f"less than {MOST_OTHER_LABELS:.1%} differ from the CPU's in fp32"
    yield check("labels", expected, partial(_labels, setting), mend=LABELS_DIFFER)


class OverflowingLoss(nn.Module):
    """Its first gradient is infinite, as that of a scaled loss in fp16 may be."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss, self.asked = loss, 0

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        self.asked += 1
        value: Tensor = self.loss(outputs, target)
        if self.asked == 1:
            value.register_hook(lambda gradient: gradient * math.inf)
        return value


class Overflowing(Trainer):
    """Its first step overflows, while free memory is full of large numbers."""

    largest_momentum = 0.0

    def build_loss(self) -> nn.Module:
        return OverflowingLoss(super().build_loss())

    def training_step(self, *arguments: Any) -> Tensor:
        junk = [torch.full((2**size,), JUNK, device=self.device) for size in JUNK_SIZES for _ in range(JUNK_PIECES)]
        del junk
        loss = super().training_step(*arguments)
        states = arguments[0].optimizer.state.values()
        momenta = [state["momentum_buffer"] for state in states if state.get("momentum_buffer") is not None]
        self.largest_momentum = max((float(one.abs().nan_to_num(math.inf).max()) for one in momenta), default=0.0)
        return loss


def _trainer(setting: Setting, name: str, plan: ConfigurationPlan = PLAN, kind: type = Trainer, **settings: Any) -> Any:
    store = save_trial_cases(setting.folder / "right", CASE)
    fold = setting.folder / f"right_{name}" / "fold_0"
    run = {"workers": 0, **(SMALL_RUN if setting.is_small else RUN), **settings}
    return trial_trainer(kind, store, trial_plans(plan), fold, device=setting.device, **run)


def _losses(trainer: Trainer) -> tuple[str, bool]:
    losses = [epoch["loss"] for epoch in read_json(trainer.fold.history)["epochs"]]
    words = ", ".join(f"{loss:.3f}" for loss in losses)
    return f"losses {words}", len(losses) == trainer.epochs and all(map(math.isfinite, losses))


def _weights(trainer: Trainer) -> str:
    return weights_sha256(load_weights(trainer.fold.weights()).weights)


def _trains(setting: Setting, precision: str) -> tuple[str, bool]:
    trainer = _trainer(setting, precision, precision=precision, workers=1)
    trainer.run()
    return _losses(trainer)


def _overflow(setting: Setting) -> tuple[str, bool]:
    trainer = _trainer(setting, "overflow", kind=Overflowing, precision="fp16", epochs=1, iterations_per_epoch=1)
    trainer.run()
    return f"momentum {trainer.largest_momentum:.3g}", trainer.largest_momentum == 0


def _twice(setting: Setting, plan: ConfigurationPlan) -> tuple[str, bool]:
    trainers = [_trainer(setting, f"{plan.network.name}_{number}", plan, deterministic=True) for number in range(2)]
    for trainer in trainers:
        trainer.run()
    is_equal = _weights(trainers[0]) == _weights(trainers[1])
    return ("equal" if is_equal else "other weights"), is_equal


def _stop(trainer: Trainer) -> None:
    """In the middle of the training."""
    batches = iter(range(trainer.epochs * (trainer.iterations_per_epoch + trainer.validation_batches) // 2))
    with contextlib.suppress(Interrupted):
        trainer.run(should_stop=lambda: next(batches, None) is None)
    if not trainer.fold.checkpoint.is_file():
        raise RuntimeError("it did not stop with a checkpoint")


def _stopped(setting: Setting) -> tuple[str, bool]:
    straight = _trainer(setting, "straight", deterministic=True)
    straight.run()
    _stop(_trainer(setting, "stopped", deterministic=True))
    continued = _trainer(setting, "stopped", deterministic=True)
    continued.run(resume=True)
    is_equal = _weights(straight) == _weights(continued)
    return ("the same" if is_equal else "other weights"), is_equal


def _across(setting: Setting, first: str, second: str) -> tuple[str, bool]:
    name = f"{first}_{second}"
    _stop(_trainer(setting, name, precision=first))
    continued = _trainer(setting, name, precision=second)
    continued.run(resume=True)
    return _losses(continued)


def _memory(setting: Setting) -> tuple[str, bool]:
    store = save_trial_cases(setting.folder / "memory", (72, 72, 72))
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(setting.device)
    try:
        share = (torch.cuda.memory_reserved(setting.device) + LITTLE_MEMORY) / total
        torch.cuda.set_per_process_memory_fraction(share, setting.device)
        words = {"epochs": 1, "iterations_per_epoch": 3, "workers": 0, "device": setting.device}
        trainer = trial_trainer(Trainer, store, trial_plans(LARGE), setting.folder / "little" / "fold_0", **words)
        trainer.run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setting.device)
    words, is_finite = _losses(trainer)
    at_once = trainer.steps.samples_at_once.number
    return f"{at_once} of {LARGE.batch_size} at once, {words}", is_finite and at_once < LARGE.batch_size


def _compiled(setting: Setting) -> tuple[str, bool]:
    """Of a training that is long enough to be compiled, some steps on noise."""
    long = {"precision": "fp32", "epochs": None, "iterations_per_epoch": None}
    steps = [step_on_noise(_trainer(setting, "compiled", compile=wanted, **long)) for wanted in (False, True)]
    losses = [[float(step()) for _ in range(STEPS_COMPARED)] for step in steps]
    is_near = all(abs(one - other) <= 0.01 * abs(one) for one, other in zip(*losses, strict=True))
    words = " and ".join(", ".join(f"{loss:.4f}" for loss in some) for some in losses)
    if not is_compiled(steps[1].args[0].network):
        return f"it is not compiled; losses {words}", False
    return f"losses {words}", is_near


def _labels(setting: Setting) -> tuple[str, bool]:
    trainer = _trainer(setting, "labels", precision="fp32")
    trainer.run()
    path = trainer.fold.weights()
    case = trial_case("unseen", CASE if setting.is_small else UNSEEN)
    found = [
        Predictor(model_of(trainer, load_weights(path), "final"), Computation(device=device, precision=precision))
        .predict_prepared(case)
        .segmentation
        for device, precision in (("cpu", "fp32"), (setting.device, "auto"))
    ]
    share = float((found[0] != found[1]).mean())
    return f"{share:.3%} differ", share < MOST_OTHER_LABELS
