"""Softmax, its derivatives and its losses at the speed of the memory, from Python, on a CPU."""

from fastsoftmax import njit as njit  # registers the functions below for use in @njit code
from fastsoftmax import reference
from fastsoftmax._parallel import get_num_threads, num_threads, set_num_threads
from fastsoftmax._version import __version__
from fastsoftmax.functional import (
    LinearGrads,
    cross_entropy,
    cross_entropy_value_and_grad,
    dense,
    dense_vjp,
    linear_cross_entropy,
    linear_cross_entropy_hvp,
    linear_cross_entropy_value_and_grad,
    linear_squared_error,
    linear_squared_error_hvp,
    linear_squared_error_value_and_grad,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_jvp,
    softmax_vjp,
    squared_error,
    squared_error_value_and_grad,
)

__all__ = [
    "LinearGrads",
    "__version__",
    "cross_entropy",
    "cross_entropy_value_and_grad",
    "dense",
    "dense_vjp",
    "get_num_threads",
    "linear_cross_entropy",
    "linear_cross_entropy_hvp",
    "linear_cross_entropy_value_and_grad",
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
    "softmax_jvp",
    "softmax_vjp",
    "squared_error",
    "squared_error_value_and_grad",
]
