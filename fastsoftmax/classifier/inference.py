"""What a fitted model answers: one pass over X from the last layer to probabilities or classes, and scikit-learn's
checks of X left out where they would change nothing.

Each answer comes with whether it shows that X is finite: what is not makes logits that are not finite either, because
any weight times infinity is infinity or NaN, and these never add up to a finite number. So X is read once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.extmath import safe_sparse_dot

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax.functional.inference import is_finite, labels_of_layer, probs_of_layer

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
Answer = tuple[Array, bool]
Question = Callable[[Any, Any, Array], Answer]  # of what the last layer is given, its weight and bias


def is_plain(X: Any, fitted: Mapping[str, Any]) -> bool:
    """Whether check_is_fitted and validate_data would hand X on as it is (1 us; they take 60) if it is finite.

    A plain matrix of float32 or float64, with the features of a fit that knew no names. All else is for them; and what
    is not finite where no answer shows it, because of an activation, or of weights that are left out after `sparsify`.
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
        and ((len(coefs := fitted["coefs_"]) == 1 and not issparse(coefs[0])) or is_finite(X))
    )


def logits_of(X: Any, weight: Any, bias: Array) -> Answer:
    """(n_samples, n_outputs) of a layer whose weight (n_outputs, n_features) may be sparse, as after `sparsify`."""
    if issparse(weight):
        return np.asarray(safe_sparse_dot(X, weight.T, dense_output=True) + bias), True
    logits = functional.dense(X, weight, bias)
    return logits, is_finite(logits)


def logits_of_classes(X: Any, weight: Any, bias: Array) -> Answer:
    """The same with logits 0 for the first of two classes: (n_samples, n_classes)."""
    logits, shows_finite = logits_of(X, weight, bias)
    return np.hstack([np.zeros_like(logits), logits]) if len(bias) == 1 else logits, shows_finite


def probs_of(name: str, temperature: float, X: Any, weight: Any, bias: Array) -> Answer:
    """Of all classes, (n_samples, n_classes): "softmax", or "log_softmax" for their logarithms."""
    if issparse(weight):
        logits, shows_finite = logits_of_classes(X, weight, bias)
        return getattr(functional, name)(logits, temperature=temperature), shows_finite
    probs = probs_of_layer(f"linear_{name}", X, weight, bias, temperature, n_pinned=int(len(bias) == 1))
    # a logit -inf of the second of two classes shows as a probability 0
    return probs, is_finite(probs) and (len(bias) > 1 or bool(probs[:, 1].all()) or name == "log_softmax")


def likeliest_of(X: Any, weight: Any, bias: Array) -> Answer:
    """The number of the likeliest class of each sample, (n_samples,)."""
    if len(bias) == 1:
        logits, shows_finite = logits_of(X, weight, bias)
        return (~(logits[:, 0] <= 0)).astype(np.intp), shows_finite  # NaN counts as large, as in np.argmax
    if issparse(weight):
        logits, shows_finite = logits_of(X, weight, bias)
        return logits.argmax(axis=1), shows_finite
    return labels_of_layer(X, weight, bias)
