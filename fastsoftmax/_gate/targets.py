"""What a loss compares logits with, and weights: checked, and as kernels take them. Errors name the first bad entry."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._gate.arrays import Array, Shape, check_shape, contiguous, real_array
from fastsoftmax._gate.numbers import read_integer
from fastsoftmax.kernels import first_bad_label

_NO_LABEL = np.iinfo(np.int64).min


def read_targets(array: Array, shape: Shape, dtype: np.dtype[Any], ignore_index: int | None) -> Array:
    """For logits of the shape: labels (n_rows,) as int64, ignored ones -1, or distributions (n_rows, n_classes)."""
    ignored = None if ignore_index is None else read_integer("ignore_index", ignore_index)
    soft = array.ndim == len(shape) and (array.dtype.kind == "f" or array.shape == shape)
    check_shape("targets", array, shape if soft else shape[:-1])
    if soft:
        if ignored is not None and ignored >= 0:  # as torch has it, whose default is -100
            raise ValueError(
                f"ignore_index must be None or negative, got {ignored}: targets are distributions, not labels "
                "(a sample_weight of 0 leaves a row out)"
            )
        return contiguous(array, dtype).reshape(math.prod(shape[:-1]), shape[-1])
    integers = _integers(array).ravel()
    labels, n_classes = contiguous(integers, integers.dtype), shape[-1]
    bad = first_bad_label(labels, n_classes, ignored or 0, ignored is not None)
    if bad >= 0:
        classes = f"{n_classes} classes, 0 to {n_classes - 1}" if n_classes else "no classes"
        raise ValueError(f"{_element('targets', array, bad)} is not a class: logits have {classes}")
    return labels if ignored is None else np.where(labels == ignored, -1, labels)


def split_targets(targets: Array, n_classes: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Labels and distributions, as kernels take what `read_targets` gives: one of them has no rows."""
    if targets.ndim == 1:
        return targets, np.empty((0, n_classes), dtype)
    return np.empty(0, np.int64), targets


def _integers(array: Array) -> Array:
    """As C-contiguous int64; what is no integer of that size becomes _NO_LABEL, which is no class."""
    if array.dtype.kind == "f":
        wide = array.astype(np.float64, order="C")
        return np.where((wide == np.floor(wide)) & (np.abs(wide) < 2.0**63), wide, _NO_LABEL).astype(np.int64)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        return np.where(array > np.iinfo(np.int64).max, _NO_LABEL, array.astype(np.int64))
    return array.astype(np.int64, order="C", copy=False)


def read_weights(name: str, value: ArrayLike | None, shape: Shape, dtype: Any) -> Array:
    """Non-negative finite weights of the shape, as a flat array of the dtype; an empty one if none are given."""
    if value is None:
        return np.empty(0, dtype)
    array = real_array(name, value)
    check_shape(name, array, shape)
    flat = contiguous(array, dtype).ravel()  # (what is infinite in the dtype is no weight)
    if flat.size and not (flat.min() >= 0 and flat.max() < np.inf):
        bad = ~((flat >= 0) & (flat < np.inf))
        raise ValueError(
            f"{_element(name, array, int(bad.argmax()))} is not a weight: it must be finite and at least 0"
        )
    return flat


def _element(name: str, array: Array, position: int) -> str:
    index = ", ".join(str(i) for i in np.unravel_index(position, array.shape))
    return f"{name}[{index}] = {array.flat[position]}" if index else f"{name} = {array.flat[position]}"
