"""Which trained model, or which several together, to use: candidates, their ranking, the selection, and averaging."""

from autoseg.ensembling.averaging import average, ensemble_folders
from autoseg.ensembling.best import SelectionSettings, find_best_configuration
from autoseg.ensembling.candidates import Candidate, Outcome, select
from autoseg.ensembling.selection import Member, Selection, load_selection, save_selection
from autoseg.ensembling.validation import choose_models, collect, determine_postprocessing

__all__ = [
    "Candidate",
    "Member",
    "Outcome",
    "Selection",
    "SelectionSettings",
    "average",
    "choose_models",
    "collect",
    "determine_postprocessing",
    "ensemble_folders",
    "find_best_configuration",
    "load_selection",
    "save_selection",
    "select",
]
