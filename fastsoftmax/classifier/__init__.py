"""SoftmaxClassifier, a scikit-learn estimator: all that needs scikit-learn."""

from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.classifier.model_file import ModelFormatError

__all__ = ["ModelFormatError", "SoftmaxClassifier"]
