"""The gate for y of a classifier: class labels of any kind, or the probabilities of the classes for each sample."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from fastsoftmax._gate.arrays import QUIET, Array, check_dense, check_regular, check_unmasked
from fastsoftmax.classifier.reports import warn

SUM_TOLERANCE = 1e-3  # of the probabilities of a sample


@dataclass(frozen=True)
class Labels:
    """What is to be predicted.

    Attributes
    ----------
    classes : ndarray (n_classes,)
    targets : ndarray of int64 (n_samples,), positions in classes, or of a float dtype (n_samples, n_classes)
    """

    classes: Array
    targets: Array

    @property
    def hard(self) -> Array:
        """The position of the (most probable) class of each sample."""
        return self.targets if self.targets.ndim == 1 else self.targets.argmax(axis=1)

    def take(self, rows: Array) -> "Labels":
        """Those of some samples."""
        return Labels(self.classes, self.targets[rows])


def is_soft(y: Any) -> bool:
    """Whether y, which has been through `plain_labels`, has a column for each class."""
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape  # not np.shape, which some array-likes refuse
    return len(shape) == 2 and shape[1] > 1


def plain_labels(y: Any) -> Any:
    """Nullable integers and bools of pandas as NumPy's; scikit-learn would make floats of them, which merge large ones.

    Everything else as it is, but for what is missing or masked, which is an error.
    """
    check_dense("y", y)
    check_unmasked("y", y)
    check_regular("y", y)
    if hasattr(y, "isna") and (missing := np.asarray(y.isna())).any():  # of pandas' texts scikit-learn compares NA
        row = int(missing.reshape(len(missing), -1).any(axis=1).argmax())
        raise ValueError(f"Input y contains NaN or NA: y[{row}] is missing")
    plain = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if isinstance(plain, np.dtype) and plain.kind in "iub":
        return y.to_numpy(dtype=plain)
    return y


def read_known_labels(y: Any, dtype: Any, classes: Array) -> Labels:
    """The labels of a y that has not been through scikit-learn's validation, of classes that are known."""
    y = plain_labels(y)
    return read_labels(check_array(y, input_name="y") if is_soft(y) else column_or_1d(y), dtype, classes)


def read_labels(y: Array, dtype: Any, classes: Array | None = None) -> Labels:
    """The labels of y, which is 1-D, or 2-D with probabilities. classes: those that are known, sorted."""
    if y.ndim == 2:
        return _read_probabilities(y, dtype, classes)
    if y.dtype.kind not in "iubU":  # of these any value is a class (and the check takes a third of iris's validation)
        check_classification_targets(y)
    if classes is None:
        found, targets = np.unique(y, return_inverse=True)
        if len(found) < 2:
            raise ValueError(
                f"y must have samples of at least 2 classes, but has only one class: {found.tolist()[0]!r}"
            )
        if y.dtype.kind in "iubU" and len(y) > 20 and len(found) > round(0.5 * len(y)):  # as that check has it
            warn(
                "The number of unique classes is greater than 50% of the number of samples. `y` could represent a "
                "regression problem, not a classification problem."
            )
        return Labels(found, targets.astype(np.int64, copy=False))
    found = np.unique(y)
    unknown = found[~np.isin(found, classes)]
    if unknown.size:
        raise ValueError(f"y has classes that are not in classes_: {unknown.tolist()}; classes_ is {classes.tolist()}")
    return Labels(classes, np.searchsorted(classes, y).astype(np.int64, copy=False))


def _read_probabilities(y: Array, dtype: Any, classes: Array | None) -> Labels:
    if y.dtype.kind not in "fiub":
        raise ValueError(f"y with {y.shape[1]} columns must hold probabilities, got {y.dtype}")
    if classes is None:
        classes = np.arange(y.shape[1])
    elif len(classes) != y.shape[1]:
        raise ValueError(f"y must have shape ({len(y)}, {len(classes)}), a column for each class, got {y.shape}")
    with QUIET():
        probs = np.ascontiguousarray(y, dtype)
    good = (probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) <= SUM_TOLERANCE)  # NaN is not
    if not good.all():
        n = int(good.argmin())
        raise ValueError(f"y[{n}] = {y[n]} is no distribution: probabilities are at least 0, and sum to 1")
    return Labels(classes, probs)


def read_class_weight(class_weight: Any, classes: Array, totals: Callable[[], tuple[Any, ...]], dtype: Any) -> Array:
    """The weight of each class (n_classes,), or an empty array. totals: of samples' weights, by class and of all.

    class_weight: None, "balanced" or a dict, as options.py has seen to.
    """
    if class_weight is None:
        return np.empty(0, dtype)
    with QUIET():
        weights = _balanced(*totals()) if isinstance(class_weight, str) else _named_weights(class_weight, classes)
        return weights.astype(dtype)


def _named_weights(class_weight: dict[Any, float], classes: Array) -> Array:
    """The weight of each class, by its label as it is: "1" is not 1. Classes may be left out if no key is unknown."""
    if classes.dtype.kind in "mM":  # times, in the unit of the classes
        class_weight = {np.array(key, classes.dtype)[()].item(): weight for key, weight in class_weight.items()}
    labels = [(isinstance(label, str), label) for label in classes.tolist()]
    given = {
        (isinstance(key, str), key.item() if isinstance(key, np.generic) else key): weight
        for key, weight in class_weight.items()
    }
    unknown, missing = given.keys() - set(labels), set(labels) - given.keys()
    if unknown and missing:
        raise ValueError(
            f"class_weight has {', '.join(repr(key[1]) for key in given if key in unknown)}, "
            f"which is none of the classes {', '.join(repr(label) for _, label in labels)}"
        )
    if not all(isinstance(weight, Real) for weight in given.values()):
        raise TypeError(f"class_weight must hold numbers, got {class_weight}")
    weights = np.array([given.get(label, 1.0) for label in labels], np.float64)
    if not ((weights >= 0) & (weights < np.inf)).all():
        raise ValueError(f"class_weight must hold finite weights of at least 0, got {class_weight}")
    return weights


def weigh(loss: str, labels: Labels, by_row: Array, by_class: Array) -> tuple[Labels, Array]:
    """Labels and row weights into which class weights have gone: a sample weighs as much as its class times itself.

    A distribution is a mixture of samples, so that its row weighs sum_c p_c w_c; and cross-entropy, which is linear in
    the target, sees p_c w_c over that.
    """
    if not by_class.size:
        return labels, by_row
    targets, rows = labels.targets, by_row if by_row.size else np.ones(len(labels.targets))
    with QUIET():
        if targets.ndim == 1:
            return labels, rows * by_class[targets]
        weight = np.einsum("nc,c->n", targets, by_class)  # not BLAS, whose bits depend on the rows beside a row
        if loss == "cross_entropy":
            scaled = np.divide(targets * by_class, weight[:, None], out=targets.copy(), where=weight[:, None] > 0)
            labels = Labels(labels.classes, scaled)
        return labels, rows * weight


def class_totals(targets: Array, by_row: Array, n_classes: int) -> tuple[Array, float]:
    """The weights of samples by class, and of all of them."""
    weights = by_row if by_row.size else np.ones(len(targets))
    soft = targets.ndim == 2
    by_class: Array = weights @ targets if soft else np.bincount(targets, weights, n_classes)
    return by_class.astype(np.float64, copy=False), weights.sum()


def _balanced(by_class: Array, total: float) -> Array:
    """S / (C S_c), S_c being the weight of the samples of class c."""
    n_classes = len(by_class)
    return np.divide(total, n_classes * by_class, out=np.zeros(n_classes), where=by_class > 0)
