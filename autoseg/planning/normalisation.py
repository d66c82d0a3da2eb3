"""Which intensity normalisation each channel gets, decided by its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.dataset.normalisations import CT, read_normalisation

KEPT_FRACTION_FOR_MASK = 0.75
"""Where cropping keeps less than this, background dominates and would distort mean and deviation
(Isensee et al. 2021, Fig. 2, "Intensity normalization": a quarter or more removed)."""


NEVER_MASKED = (CT, "rgb")
"""What zero means is known, or all is colour."""


def choose_scheme(channel: str) -> str:
    """CT only for the name "CT", none only for "noNorm", both in any letter case; else a z-score of each case."""
    return {"CT": "CT", "NONORM": "noNorm"}.get(channel.strip().upper(), "nonCT")


def choose_mask(scheme: str, kept_fractions: Sequence[float]) -> bool:
    """Whether a channel is normalised inside the nonzero region only, and is zero outside it; CT and colours never are.

    Args:
        scheme: As `choose_scheme` names it, or as dataset.json does, which may say where is measured.
        kept_fractions: Share of each case's volume that cropping kept.
    """
    said = read_normalisation(scheme)
    if said.mask is not None:
        return said.mask == "nonzero"
    if "background" in said.settings or said.name in NEVER_MASKED:
        return False
    return bool(np.median(kept_fractions) < KEPT_FRACTION_FOR_MASK)


def looks_like_ct(channel: str) -> bool:
    """Whether a name holds "CT" without being it, such as "CTA": its owner may have expected the CT scheme."""
    return "CT" in channel.upper() and choose_scheme(channel) != "CT"
