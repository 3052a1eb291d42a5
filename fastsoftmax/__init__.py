"""Softmax, its derivatives and its losses at the speed of the memory, from Python, on a CPU."""

from typing import TYPE_CHECKING, Any

from fastsoftmax import data, reference, testing
from fastsoftmax import njit as njit  # registers the functions below for use in @njit code
from fastsoftmax._threads import get_num_threads, num_threads, set_num_threads
from fastsoftmax._version import __version__
from fastsoftmax.functional import (
    LinearGrads,
    cross_entropy,
    cross_entropy_value_and_grad,
    dense,
    dense_vjp,
    fit_temperature,
    linear_argmax,
    linear_cross_entropy,
    linear_cross_entropy_hvp,
    linear_cross_entropy_value_and_grad,
    linear_log_softmax,
    linear_softmax,
    linear_squared_error,
    linear_squared_error_hvp,
    linear_squared_error_value_and_grad,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_grad_hess,
    softmax_jvp,
    softmax_vjp,
    squared_error,
    squared_error_value_and_grad,
)

if TYPE_CHECKING:
    from fastsoftmax.classifier import (
        ComparisonDisplay,
        LossCurveDisplay,
        ModelFormatError,
        SoftmaxClassifier,
        SoftmaxClassifierCV,
        to_onnx,
    )

_CLASSIFIER = (
    "ComparisonDisplay",
    "LossCurveDisplay",
    "ModelFormatError",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "to_onnx",
)
__all__ = [
    "ComparisonDisplay",
    "LinearGrads",
    "LossCurveDisplay",
    "ModelFormatError",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "__version__",
    "cross_entropy",
    "cross_entropy_value_and_grad",
    "data",
    "dense",
    "dense_vjp",
    "fit_temperature",
    "get_num_threads",
    "linear_argmax",
    "linear_cross_entropy",
    "linear_cross_entropy_hvp",
    "linear_cross_entropy_value_and_grad",
    "linear_log_softmax",
    "linear_softmax",
    "linear_squared_error",
    "linear_squared_error_hvp",
    "linear_squared_error_value_and_grad",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "num_threads",
    "reference",
    "set_num_threads",
    "softmax",
    "softmax_grad_hess",
    "softmax_jvp",
    "softmax_vjp",
    "squared_error",
    "squared_error_value_and_grad",
    "testing",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    """What needs scikit-learn when it is asked for: to import that takes a second."""
    if name in _CLASSIFIER:
        from fastsoftmax import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
