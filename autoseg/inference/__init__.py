"""From a trained model and images to segmentations, streamed so that memory does not grow with classes times volume."""

from autoseg.inference.cases import predict_cases
from autoseg.inference.found_cases import find_cases
from autoseg.inference.model import TrainedModel, load_model
from autoseg.inference.predictor import Prediction, Predictor
from autoseg.inference.probabilities import PackedProbabilities, load_probabilities, save_probabilities
from autoseg.inference.settings import Computation, PredictionRun, PredictionSettings

__all__ = [
    "Computation",
    "PackedProbabilities",
    "Prediction",
    "PredictionRun",
    "PredictionSettings",
    "Predictor",
    "TrainedModel",
    "find_cases",
    "load_model",
    "load_probabilities",
    "predict_cases",
    "save_probabilities",
]
