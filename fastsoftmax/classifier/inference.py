"""What a fitted model answers: one pass over X from the last layer to probabilities or classes, and scikit-learn's
checks of X left out where they would change nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.extmath import safe_sparse_dot

from fastsoftmax import functional, kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.functional.inference import probs_of_layer

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
LOOKS = 8  # at an element, whether it is finite, that take as long as one element of a row of softmax


def passes_checks(X: Any, fitted: Mapping[str, Any]) -> bool:
    """Whether check_is_fitted and validate_data would pass and hand X on as it is (1 us; they take 60).

    A plain finite matrix of float32 or float64, with the features of a fit that knew no names. All else is for them.
    """
    return (
        type(X) is np.ndarray
        and ((kind := X.dtype) is _FLOAT64 or kind is _FLOAT32)
        and X.ndim == 2
        and X.flags.carray
        and len(X) > 0
        and "coefs_" in fitted
        and "feature_names_in_" not in fitted
        and X.shape[1] == fitted.get("n_features_in_")
        and bool(run(kernels.all_finite, X.size // LOOKS, X))
    )


def logits_of(X: Any, weight: Any, bias: Array) -> Array:
    """(n_samples, n_outputs) of a layer whose weight (n_outputs, n_features) may be sparse, as after `sparsify`."""
    if issparse(weight):
        return np.asarray(safe_sparse_dot(X, weight.T, dense_output=True) + bias)
    return functional.dense(X, weight, bias)


def logits_of_classes(X: Any, weight: Any, bias: Array) -> Array:
    """The same with logits 0 for the first of two classes: (n_samples, n_classes)."""
    logits = logits_of(X, weight, bias)
    return np.hstack([np.zeros_like(logits), logits]) if len(bias) == 1 else logits


def probs_of(name: str, X: Any, weight: Any, bias: Array, temperature: float) -> Array:
    """Of all classes, (n_samples, n_classes): "softmax", or "log_softmax" for their logarithms."""
    if issparse(weight):
        probs: Array = getattr(functional, name)(logits_of_classes(X, weight, bias), temperature=temperature)
        return probs
    return probs_of_layer(f"linear_{name}", X, weight, bias, temperature, n_pinned=int(len(bias) == 1))


def likeliest_of(X: Any, weight: Any, bias: Array) -> Array:
    """The number of the likeliest class of each sample, (n_samples,)."""
    if len(bias) == 1:
        return (~(logits_of(X, weight, bias)[:, 0] <= 0)).astype(np.intp)  # NaN counts as large, as in np.argmax
    if issparse(weight):
        return logits_of(X, weight, bias).argmax(axis=1)
    return functional.linear_argmax(X, weight, bias)
