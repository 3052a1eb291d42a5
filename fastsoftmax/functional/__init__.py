"""Arrays in, arrays out: the functions that users call, in a file for each kind."""

from fastsoftmax.functional._layer import LinearGrads
from fastsoftmax.functional.boosting import softmax_grad_hess
from fastsoftmax.functional.calibration import fit_temperature
from fastsoftmax.functional.dense import dense, dense_vjp
from fastsoftmax.functional.inference import linear_argmax, linear_log_softmax, linear_softmax
from fastsoftmax.functional.jacobians import log_softmax_jvp, log_softmax_vjp, softmax_jvp, softmax_vjp
from fastsoftmax.functional.linear import (
    linear_cross_entropy,
    linear_cross_entropy_hvp,
    linear_cross_entropy_value_and_grad,
    linear_squared_error,
    linear_squared_error_hvp,
    linear_squared_error_value_and_grad,
)
from fastsoftmax.functional.losses import (
    cross_entropy,
    cross_entropy_value_and_grad,
    squared_error,
    squared_error_value_and_grad,
)
from fastsoftmax.functional.softmax import log_softmax, logsumexp, softmax

__all__ = [
    "LinearGrads",
    "cross_entropy",
    "cross_entropy_value_and_grad",
    "dense",
    "dense_vjp",
    "fit_temperature",
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
    "softmax",
    "softmax_grad_hess",
    "softmax_jvp",
    "softmax_vjp",
    "squared_error",
    "squared_error_value_and_grad",
]
