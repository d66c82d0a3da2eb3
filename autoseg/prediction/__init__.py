"""Predicting new images with a task's model, or with what was selected for it: what `autoseg_predict` does, for Python."""

from autoseg.inference.settings import PredictionSettings
from autoseg.prediction.choice import ModelChoice
from autoseg.prediction.models import load_trained_model
from autoseg.prediction.scoring import score_prediction
from autoseg.prediction.workflow import Predicted, predict

__all__ = ["ModelChoice", "Predicted", "PredictionSettings", "load_trained_model", "predict", "score_prediction"]
