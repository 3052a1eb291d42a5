"""Arrays in, arrays out: the functions that users call, in one file for each file of kernels."""

from fastsoftmax.functional.dense import dense, dense_vjp
from fastsoftmax.functional.losses import (
    cross_entropy,
    cross_entropy_value_and_grad,
    squared_error,
    squared_error_value_and_grad,
)
from fastsoftmax.functional.softmax import (
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_jvp,
    softmax_vjp,
)

__all__ = [
    "cross_entropy",
    "cross_entropy_value_and_grad",
    "dense",
    "dense_vjp",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "softmax",
    "softmax_jvp",
    "softmax_vjp",
    "squared_error",
    "squared_error_value_and_grad",
]
