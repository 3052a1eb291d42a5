"""SoftmaxClassifier and SoftmaxClassifierCV, scikit-learn estimators: all that needs scikit-learn."""

from fastsoftmax.classifier.cross_validation import SoftmaxClassifierCV
from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.classifier.model_file import ModelFormatError

__all__ = ["ModelFormatError", "SoftmaxClassifier", "SoftmaxClassifierCV"]
