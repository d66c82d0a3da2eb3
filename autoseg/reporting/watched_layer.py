"""What one layer makes of a tile: a layer that is watched while its network predicts."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.arrays import Array
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.dataset.target import Target
from autoseg.errors import ModelError
from autoseg.geometry import Shape
from autoseg.inference.engines import full_resolution
from autoseg.networks.activations import activation_of
from autoseg.words import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTile:
    """A tile, and what the network made of it; of volumes the slice in which it found most.

    Attributes:
        image: `(H, W)`, the first channel as the network gets it.
        found: `(outputs, H, W)`, probabilities of the scored outputs.
        maps: `(C, h, w)`, the layer's channels at the layer's own resolution.
    """

    image: Array
    found: Array
    maps: Array


class WatchedLayer:
    """Keeps what one layer made of the tile in which its network found most, of all that it is asked, in whatever threads.

    Args:
        layer: A name from `layers_with_maps`.
        target: What the network's scores are of.

    Attributes:
        seen: None until the network is asked.
    """

    def __init__(self, network: nn.Module, layer: str, target: Target) -> None:
        self.seen: SeenTile | None = None
        self._activation = activation_of(target)
        self._most = -1.0
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        network.get_submodule(layer).register_forward_hook(self._answered)
        network.register_forward_hook(self._scored)

    def _answered(self, _layer: nn.Module, _given: Any, maps: Tensor) -> None:
        self._of_thread.maps = maps.clone()  # what follows may change them in place

    def _scored(self, _network: nn.Module, given: tuple[Tensor, ...], output: Any) -> None:
        scores = full_resolution(output).float()
        found = self._activation.probabilities(scores)[:, self._activation.scored]
        # little everywhere must not count for more than a structure; of tiles where nothing is found that with most doubt
        most, fullest = ((found > THRESHOLD).flatten(1).sum(dim=1) + found.flatten(1).mean(dim=1)).max(dim=0)
        with self._lock:
            if most > self._most:
                self._most = float(most)
                self.seen = _seen(given[0][fullest, 0], found[fullest], self._of_thread.maps[fullest])


def layers_with_maps(network: nn.Module, sample: Sequence[int]) -> tuple[dict[str, Shape], str]:
    """Layers that answer with one tensor `(B, C, *space)`, in the order in which they are done, and the last before the scores.

    Args:
        network: In the mode in which it answers; it is asked once about a tile of zeros, where its weights are.
        sample: `(C, *patch)`.

    Returns:
        The shape of each, `(C, *space)`, by its name in `named_modules`; of the last one at the patch's own resolution that
        does not give the scores, the name.
    """
    answers: dict[str, tuple[Shape, weakref.ref[Tensor]]] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == len(sample) + 1 and len(output) == 1:
            answers.pop(name, None)
            answers[name] = tuple(output.shape[1:]), weakref.ref(output)

    hooks = [
        layer.register_forward_hook(lambda _layer, _given, output, name=name: keep(name, output))
        for name, layer in network.named_modules()
        if name
    ]
    device = next((tensor.device for tensor in network.state_dict().values()), None)
    try:
        with torch.inference_mode():
            scores = full_resolution(network(torch.zeros(1, *sample, device=device)))
    finally:
        for hook in hooks:
            hook.remove()
    fine = [name for name, (shape, maps) in answers.items() if shape[1:] == scores.shape[2:] and maps() is not scores]
    return {name: shape for name, (shape, _) in answers.items()}, (fine or [*answers, ""])[-1]


def require_layer(network: nn.Module, layer: str, known: Mapping[str, Shape]) -> None:
    """Refuse a layer that is not there, or that gives no maps.

    Raises:
        ModelError: With a line for each that does, and the shape of its maps.
    """
    if layer in known:
        return
    listing = "\n".join(f"  {name}  {' x '.join(map(str, shape))}" for name, shape in known.items())
    if layer in dict(network.named_modules()):
        raise ModelError(
            f"layer {layer!a}: does not answer with one tensor of channels and the axes of the patch, so it has no maps; "
            f"name one that has:\n{listing}"
        )
    raise ModelError(f"layer {layer!a}: the network has none of that name{nearest(layer, known)}; name one:\n{listing}")


def _seen(image: Tensor, found: Tensor, maps: Tensor) -> SeenTile:
    """Volumes are cut where most was found, and maps of less planes where that place lies among theirs."""
    if image.ndim == len("zyx"):
        held = (found > THRESHOLD).sum(dim=(0, 2, 3)) + found.mean(dim=(0, 2, 3))
        place = int(held.max(dim=0).indices)
        maps = maps[:, place * maps.shape[1] // image.shape[0]]
        image, found = image[place], found[:, place]
    arrays = (tensor.float().cpu().numpy() for tensor in (image, found, maps))
    return SeenTile(**dict(zip(("image", "found", "maps"), arrays, strict=True)))
