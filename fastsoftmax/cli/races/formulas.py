"""The formulas as one writes them in NumPy: a provider, and in float64 what the answers of all are checked against."""

from collections.abc import Callable
from typing import Any

import numpy as np


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def logsumexp(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    top = logits.max(axis=axis, keepdims=True)
    return (top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=True))).squeeze(axis)


def softmax_vjp(probs: np.ndarray, cotangent: np.ndarray, axis: int = -1) -> np.ndarray:
    return probs * (cotangent - (probs * cotangent).sum(axis=axis, keepdims=True))


def log_softmax_vjp(log_probs: np.ndarray, cotangent: np.ndarray, axis: int = -1) -> np.ndarray:
    return cotangent - np.exp(log_probs) * cotangent.sum(axis=axis, keepdims=True)


def cross_entropy_value_and_grad(logits: np.ndarray, targets: np.ndarray, axis: int = -1) -> tuple[Any, np.ndarray]:
    every = np.arange(len(logits))
    log_probs = log_softmax(logits)
    grad = np.exp(log_probs)
    grad[every, targets] -= 1
    grad /= len(logits)
    return -log_probs[every, targets].mean(), grad


def dense_vjp(X: np.ndarray, weight: np.ndarray, cotangent: np.ndarray, axis: int = -1) -> tuple[Any, ...]:
    return cotangent @ weight, cotangent.T @ X, cotangent.sum(axis=0)


NUMPY: dict[str, Callable[..., Any]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "softmax_vjp": softmax_vjp,
    "log_softmax_vjp": log_softmax_vjp,
    "cross_entropy_value_and_grad": cross_entropy_value_and_grad,
    "dense_vjp": dense_vjp,
}
