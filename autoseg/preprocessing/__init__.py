"""From raw arrays to what a network sees, and back: cropping, resampling, normalisation, the store of prepared cases."""

from autoseg.preprocessing.dataset import prepare_dataset
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase, prepare_case, restore_segmentation
from autoseg.preprocessing.store import PreparedCases

__all__ = ["CaseProperties", "PreparedCase", "PreparedCases", "prepare_case", "prepare_dataset", "restore_segmentation"]
