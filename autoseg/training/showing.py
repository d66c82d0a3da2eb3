"""What is seen of a training beside its numbers: one validation patch after each epoch, and what trackers want to know.

Nothing of the training follows from it, and it takes no random number.
"""

from __future__ import annotations

import torch
from torch import nn

from autoseg.training.fold.patch_film import PatchFilm, SeenPatch, fullest
from autoseg.training.parts import Parts
from autoseg.training.sampling.batches import Batch
from autoseg.training.sampling.source import validation_batch
from autoseg.training.state import TrainingState
from autoseg.training.steps import Steps
from autoseg.training.tracking import find_trackers


class Showing:
    """Shows a training while this process goes on with it.

    Args:
        epoch: How many are done.

    Attributes:
        trackers: That have begun.
    """

    def __init__(self, parts: Parts, seed: int, epoch: int) -> None:
        self._parts = parts
        self._steps: Steps = getattr(parts, "steps", None) or Steps(parts)  # a trainer's know how many samples fit
        self._film = PatchFilm(parts.fold, epoch)
        self._patch = validation_batch(parts, seed, parts.data.previous_stage)
        self.trackers = find_trackers(parts.settings.trackers, parts.fold.tensorboard)
        for tracker in self.trackers:
            tracker.start(about(parts, seed))

    def epoch_done(self, state: TrainingState) -> None:
        """Draw the patch, and hand on what trackers take."""
        if self._patch is not None:
            picture = self._film.add(state.epoch, seen_patch(self._steps, self._parts, state.judged, self._patch))
            for tracker in self.trackers:
                tracker.call("picture", state.epoch, picture)
        if self._parts.settings.histograms:
            for tracker in self.trackers:
                tracker.call("histograms", state.epoch, state.network)

    def close(self) -> None:
        """Write the film, and let trackers go."""
        self._film.close()
        for tracker in self.trackers:
            tracker.call("end")


def about(parts: Parts, seed: int) -> dict[str, str | int | float]:
    """Which training it is, and the numbers that decide it."""
    return {
        "task": parts.plans.dataset,
        "configuration": parts.plan.name,
        "trainer": parts.name,
        "plans": parts.plans.identifier,
        "fold": parts.fold.fold,
        "folder": str(parts.fold.folder),
        "seed": seed,
        "epochs": parts.epochs,
        "iterations_per_epoch": parts.iterations_per_epoch,
        "batch_size": parts.batch_size,
        "learning_rate": parts.initial_learning_rate,
    }


def seen_patch(steps: Steps, parts: Parts, network: nn.Module, batch: Batch) -> SeenPatch:
    """The sample of a batch with most in it, in the slice with most in it."""
    data, logits, labels = steps.see(network, batch)
    maps = zip(*parts.output_activation.found_and_there(logits, labels), strict=True)
    found, there = (torch.stack(masks, dim=1).cpu().numpy() for masks in maps)
    sample = int(there.reshape(len(there), -1).sum(axis=1).argsort()[-1])
    image, there, found = data[sample, 0].float().cpu().numpy(), there[sample], found[sample]
    if image.ndim == len("zyx"):
        place = fullest(there)
        image, there, found = image[place], there[:, place], found[:, place]
    names = tuple(parts.target.labels[number] for number in parts.target.scored)
    return SeenPatch(image=image, there=there, found=found, names=names)
