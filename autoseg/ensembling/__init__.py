"""Which trained model, or which several together, to use: candidates, their ranking, the selection, and averaging."""

from autoseg.ensembling.averaging import average, ensemble_folders
from autoseg.ensembling.candidates import Candidate, Outcome, select
from autoseg.ensembling.selection import Member, Selection, load_selection, save_selection

__all__ = [
    "Candidate",
    "Member",
    "Outcome",
    "Selection",
    "average",
    "ensemble_folders",
    "load_selection",
    "save_selection",
    "select",
]
