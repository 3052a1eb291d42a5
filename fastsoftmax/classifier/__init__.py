"""SoftmaxClassifier and SoftmaxClassifierCV, scikit-learn estimators: all that needs scikit-learn."""

from fastsoftmax.classifier.comparison_display import ComparisonDisplay
from fastsoftmax.classifier.cross_validation import SoftmaxClassifierCV
from fastsoftmax.classifier.displays import LossCurveDisplay
from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.classifier.model_file import ModelFormatError
from fastsoftmax.classifier.onnx_model import to_onnx

__all__ = [
    "ComparisonDisplay",
    "LossCurveDisplay",
    "ModelFormatError",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "to_onnx",
]
