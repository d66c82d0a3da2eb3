"""What is said of an image that is unlike the training cases: what is far off, their range, and what to check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.planning.limits import Limits, Reference
from autoseg.planning.measures import LIKENESS, MIRRORED, is_absolute
from autoseg.words import counted

NOT_COMPARED = (
    "only voxel and image size can be compared with the training cases': the fingerprint is of an earlier version; "
    "run autoseg_plan_and_preprocess again"
)

LIKENESS_NOT_COMPARED = "noise cannot be told from an image: the fingerprint is of an earlier version; plan again"

REMEDIES = {
    "spacing": "check the voxel size in its header, which is meant in mm",
    "size": "check that it shows what the training images show, and its voxel size",
    "orientation": "check whether it was mirrored or its axes swapped, and reorient it as they are",
    "relative": "check that it is the same kind of image, neither inverted, shifted nor windowed",
    LIKENESS: "check that it is an image: neighbouring voxels differ as in noise, or where voxels are out of order",
    "absolute": "check the unit: CT is stored in Hounsfield units, with air at -1000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputWarning:
    """Something in which an image is unlike the training cases.

    Attributes:
        name: `spacing`, `size`, `orientation`, `channel_0` ...
        text: What is far off, the training cases' range, and what to check.
    """

    name: str
    text: str


def warn_of(
    far: Mapping[str, Limits], values: Mapping[str, float], orientation: str | None, reference: Reference
) -> tuple[InputWarning, ...]:
    """A warning for each thing in which an image is far from the training cases.

    Args:
        far: The limits that it does not keep, by measure.
        values: Every measure.
        orientation: Where the file's axes point; None where it was not measured.
    """
    topics = dict.fromkeys(_topic(name) for name in far)
    return tuple(InputWarning(name=topic, text=_text(topic, far, values, orientation, reference)) for topic in topics)


def _topic(name: str) -> str:
    return name.rpartition("_")[0] or name


def _text(
    topic: str, far: Mapping[str, Limits], values: Mapping[str, float], orientation: str | None, reference: Reference
) -> str:
    if topic == "orientation":
        usual = " or ".join(reference.orientations)
        reversed_ = values[topic] > MIRRORED - 0.5
        how = "mirrored or reversed" if reversed_ else f"turned by {counted(f'{values[topic]:.0f}', 'degree')}"
        return f"its axes point to {orientation}, {how} against the training cases' {usual}; {REMEDIES[topic]}"
    theirs = {name: limits for name, limits in far.items() if _topic(name) == topic and name in values}
    parts = [_part(name.rpartition("_")[2], values[name], limits) for name, limits in theirs.items()]
    if topic in REMEDIES:
        unit = "pixels" if reference.in_pixels else "mm"
        what = {"spacing": f"voxel size in {unit}", "size": f"size in {unit}"}[topic]
        return f"{what} far from the training cases': {', '.join(parts)}; {REMEDIES[topic]}"
    channel = reference.channels[int(topic.rpartition("_")[2])]
    where = f"channel {topic.rpartition('_')[2]} ({channel})"
    if not parts:
        return f"{where} is empty or holds one value only, unlike in the training cases; check the file"
    kinds = ["absolute" if is_absolute(channel) else "relative"] * any(not name.endswith(LIKENESS) for name in theirs)
    kinds += [LIKENESS] * any(name.endswith(LIKENESS) for name in theirs)
    remedy = "; ".join(REMEDIES[kind] for kind in kinds)
    return f"the intensities of {where} are far from the training cases': {', '.join(parts)}; {remedy}"


def _part(measure: str, value: float, limits: Limits) -> str:
    words = {
        "low": "lowest",
        "high": "highest",
        "start": "start (in widths of the range)",
        "middle": "median (in widths above the start)",
        "tails": "bright tail minus dark tail (in widths)",
        LIKENESS: "correlation of neighbouring voxels",
    }
    theirs = f"{limits.lowest:.4g}"
    if f"{limits.highest:.4g}" != theirs:
        theirs += f" to {limits.highest:.4g}"
    return f"{words.get(measure, measure)} {value:.4g} (theirs {theirs})"
