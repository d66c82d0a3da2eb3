"""Several tasks trained at once: one encoder, and for each task the rest of an ordinary network, which predicts alone.

Source: the multi-task learning of the Multi-Planar U-Net's software (Perslev et al. 2019, arXiv 1911.01764).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from autoseg.errors import TrainingError
from autoseg.evaluation.summary import Summary
from autoseg.files.storage import content_hash
from autoseg.inference.model import Checkpoint, input_channels
from autoseg.plans import plan_signature
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.folder import require_untrained
from autoseg.training.fold.replacing import recover
from autoseg.training.fold_run import FoldRun
from autoseg.training.parts import Parts
from autoseg.training.recipes.recipe import Recipe
from autoseg.training.sampling.batches import AnyBatch, BatchKey
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.settings import TrainingSettings
from autoseg.training.state import EpochSums, TrainingState
from autoseg.training.steps import Steps
from autoseg.training.trainer import Trainer
from autoseg.words import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DataOfTasks(FoldData):
    """A task's data, and those of the others that are trained with it."""

    others: tuple[FoldData, ...]

    @cached_property
    def signature(self) -> str:
        """Of the cases, plans and splits of all tasks, and of what the others' previous stages predicted."""
        others = [(one.signature, one.split, plan_signature(one.plans, one.configuration)) for one in self.others]
        before = [signature for one in self.others if (signature := one.previous_stage.signature) is not None]
        return content_hash((super().signature, *others, *before))


class SharedEncoder(nn.Module):
    """Networks that have their encoder in common; called, the first one answers."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        for network in networks[1:]:
            network.encoder = networks[0].get_submodule("encoder")

    def forward(self, image: Tensor) -> Any:
        return self.networks[0](image)


class RunOfTasks(FoldRun):
    """The first task's folder holds the training; those of the others get what predicts, and what was trained and how."""

    _parts: TrainerOfTasks

    @property
    def _others(self) -> list[FoldRun]:
        return [trainer.bookkeeping for trainer in self._parts.trainers[1:]]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nothing else may work in the other tasks' folders meanwhile."""
        with ExitStack() as held:
            for other in self._others:
                held.enter_context(other._locked())
            held.enter_context(super()._locked())
            yield

    def _recover(self) -> None:
        for other in self._others:
            recover(other.fold, saved_in=self._fold)
        super()._recover()

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """What the first task has is set aside first and comes back last, as by its checkpoint `recover` judges."""
        with super()._replacing(), ExitStack() as aside:
            for other in self._others:
                aside.enter_context(other._replacing())
            yield

    def _keep_new(self) -> None:
        for other in self._others:
            other._keep_new()
        super()._keep_new()

    def _start(self, resume: bool) -> tuple[int, TrainingState]:
        if not (resume and self._fold.checkpoint.is_file()):
            for other in self._others:
                require_untrained(other.fold)
        return super()._start(resume)

    def describe(self, network: nn.Module) -> None:
        """See `FoldRun`."""
        for parts, own in self._parts.each_task(network):
            FoldRun.describe(_run_of(parts), own)

    def begin_record(self, *words: Any, continued: bool) -> None:
        """See `FoldRun`."""
        super().begin_record(*words, continued=continued)
        for other in self._others:
            other.begin_record(*words, continued=continued)

    def _save_weights(self, checkpoint: Checkpoint, epoch: int, weights: Mapping[str, Tensor]) -> None:
        for number, parts in enumerate(self._parts.trainers):
            FoldRun._save_weights(_run_of(parts), checkpoint, epoch, _weights_of(number, weights))

    def _finish(self, weights: Mapping[str, Tensor], network: nn.Module) -> None:
        for number, (parts, own) in enumerate(self._parts.each_task(network)):
            FoldRun._finish(_run_of(parts), _weights_of(number, weights), own)


class TrainerOfTasks(Trainer):
    """Trains one fold of several tasks at once; see `Parts` for its arguments. What it says of itself is of the first task.

    Args:
        data: Of the first task, and of the others.

    Raises:
        TrainingError: The plans of the tasks differ in what the encoder is made of, or the network has none.
    """

    runs = RunOfTasks

    def __init__(
        self,
        data: FoldData,
        *,
        settings: TrainingSettings | None = None,
        device: str | None = None,
        recipe: Recipe | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(data, settings=settings, device=device, recipe=recipe, name=name)
        others = data.others if isinstance(data, DataOfTasks) else ()
        for other in others:
            _require_alike(data, other)
        words = {"settings": settings, "device": device, "recipe": recipe, "name": name}
        self.trainers: tuple[Trainer, ...] = (self, *(Trainer(other, **words) for other in others))  # type: ignore[arg-type]

    def describe(self) -> str:
        """See `Trainer`."""
        named = [f"{one.plans.dataset} ({counted(len(one.split.training), 'case')})" for one in self.trainers[1:]]
        return f"{super().describe()}; together with {' and '.join(named)}"

    def training_step(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:  # noqa: ARG002
        """Learn from a batch of one of the tasks, by its own loss."""
        number = self.turns.task_of(batch.key)
        trainer, network = self.each_task(state.network)[number]
        sums = EpochSums.empty(len(trainer.target.scored), trainer.device)
        own = replace(state, network=network, sums=sums, average=None)  # the average follows all networks
        loss = self._steps_of[number].train(own, batch, self._losses[number].to(trainer.device))
        state.sums.loss += sums.loss
        if number == 0:
            state.sums.overlap += sums.overlap / self._share_of_first
        if state.average is not None:
            state.average.update_parameters(state.network)
        return loss

    def validation_step(self, state: TrainingState, batch: AnyBatch, loss_function: nn.Module) -> Tensor:
        """Look at a batch of the first task."""
        _, network = self.each_task(state.judged)[0]
        return super().validation_step(replace(state, network=network, average=None), batch, loss_function)

    def validate(self, *, checkpoint: Checkpoint = "final", save_probabilities: bool = False) -> Summary:
        """Predict and score the validation cases of every task; see `Trainer`. The first one's scores are returned."""
        summary = super().validate(checkpoint=checkpoint, save_probabilities=save_probabilities)
        for other in self.trainers[1:]:
            other.validate(checkpoint=checkpoint, save_probabilities=save_probabilities)
            log.info("written: %s", other.output)
        return summary

    def trained_network(self) -> nn.Module:
        """The networks of all tasks, with one encoder."""
        return SharedEncoder([trainer.new_network() for trainer in self.trainers])

    def each_task(self, network: nn.Module) -> Sequence[tuple[Parts, nn.Module]]:
        """See `Parts`."""
        networks = network.get_submodule("networks").children()
        return list(zip(self.trainers, networks, strict=True))

    def require_fitting_parts(self) -> None:
        """See `Parts`; of every task, and that there is an encoder to share."""
        super().require_fitting_parts()
        for other in self.trainers[1:]:
            other.require_fitting_parts()
        if not hasattr(self.new_network(), "encoder"):
            raise TrainingError(
                f"tasks: {self.recipe.network.name} has no encoder that several tasks could share; name another network, such as "
                "planned or unet_2016"
            )

    @property
    def together(self) -> Sequence[Parts]:
        """See `Parts`."""
        return self.trainers

    @cached_property
    def _share_of_first(self) -> float:
        """Of an epoch's training batches."""
        keys = [BatchKey(TRAINING, 0, number) for number in range(self.iterations_per_epoch)]
        return sum(self.turns.task_of(key) == 0 for key in keys) / len(keys)

    @cached_property
    def _steps_of(self) -> list[Steps]:
        return [trainer.steps for trainer in self.trainers]

    @cached_property
    def _losses(self) -> list[nn.Module]:
        return [trainer.build_supervision() for trainer in self.trainers]


def _run_of(parts: Parts) -> FoldRun:
    run: FoldRun = parts.bookkeeping  # type: ignore[attr-defined]  # those of tasks are trainers
    return run


def _weights_of(number: int, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = f"networks.{number}."
    return {name.removeprefix(own): value for name, value in weights.items() if name.startswith(own)}


def _require_alike(first: FoldData, other: FoldData) -> None:
    """Refuse tasks whose plans make other encoders.

    Raises:
        TrainingError: Naming what differs.
    """
    for what, own, found in zip(
        ("image channels", "patch", "network"), _encoder_of(first), _encoder_of(other), strict=True
    ):
        if own != found:
            raise TrainingError(
                f"tasks: {other.plans.dataset} cannot share an encoder with {first.plans.dataset}: {what} {found}, expected "
                f"{own}; plan it as that one is (`plans_from`), under the same name of plans (`plans`)"
            )


def _encoder_of(data: FoldData) -> tuple[Any, ...]:
    plan = data.plan
    settings = {name: plan.network.settings[name] for name in sorted(plan.network.settings)}
    return (
        input_channels(data.plans, data.configuration),
        "x".join(map(str, plan.sampling.patch_size)),
        f"{plan.network.name} {settings}",
    )
