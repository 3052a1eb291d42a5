"""X by features, for methods that go from weight to weight: sums over the rows, and sweeps of coordinate descent.

A coordinate is the weight of a feature and a class. Kernels (kernels/fit/coordinate_descent.py) are called for so many
coordinates at a time that a KeyboardInterrupt gets its turn.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array

CALL = 2**24  # numbers of X that a call goes through


class Selection(NamedTuple):
    """Some coordinates, and the parts of them that go into a call each."""

    features: Array
    classes: Array
    calls: list[slice]

    @property
    def at(self) -> tuple[Array, Array]:
        """Where they are among all weights, (C, D + 1)."""
        return self.classes, self.features


class Motion(NamedTuple):
    """What sweeps change besides the weights: by how much the logits have changed, (C, N), and the mean of that.

    The mean is by probability, (N,). arguments: what kernels take, of which the others are views.
    """

    arguments: tuple[Array, ...]
    changes: Array
    mean: Array


class Columns:
    """X by features, and one of ones behind them.

    The features of a dense X are in float64, about their means if there is a bias that makes up for it, because else
    both would creep (wine as it comes). Of a row without weight they hold 0.

    Attributes
    ----------
    data : float64 (D + 1, N), or (data, indices, indptr) of a CSC matrix
    mean : ndarray (D,), that has been subtracted, or None
    """

    def __init__(self, X: Any, n_features: int, row_weight: Array, centres: bool) -> None:
        self.data: Any
        self.mean: Array | None = None
        self.is_sparse = isinstance(X, tuple)
        if self.is_sparse:
            n_rows = len(row_weight)
            by_column = csr_array(X, shape=(n_rows, n_features)).tocsc()
            ones, rows = np.ones(n_rows, by_column.dtype), np.arange(n_rows, dtype=np.int32)
            indptr = np.append(by_column.indptr.astype(np.int64), by_column.nnz + n_rows)
            indices = np.append(by_column.indices.astype(np.int32), rows)
            self.data = np.append(by_column.data, ones), indices, indptr
            self._sizes = np.diff(indptr)
            self._largest = np.append(abs(by_column).max(axis=0).toarray().ravel(), 1.0)
            return
        self.data = np.ones((X.shape[1] + 1, len(X)))
        self.data[:-1] = X.T
        is_left_out = row_weight == 0
        some_are_left_out = is_left_out.any()
        if some_are_left_out:
            self.data[:, is_left_out] = 0.0
        if centres:
            self.mean = np.einsum("dn,n->d", self.data[:-1], row_weight / row_weight.sum())
            self.data[:-1] -= self.mean[:, None] * ~is_left_out if some_are_left_out else self.mean[:, None]
        self._sizes = np.full(len(self.data), len(X))
        self._largest = np.maximum(self.data.max(axis=1), -self.data.min(axis=1))

    def select(self, features: Array, classes: Array) -> Selection:
        """Coordinates in the order in which they are to be swept."""
        ends = np.flatnonzero(np.diff(np.cumsum(self._sizes[features]) // CALL)) + 1
        bounds = [0, *ends.tolist(), len(features)]
        return Selection(features, classes, [slice(*pair) for pair in pairwise(bounds)])

    def largest(self, features: Array) -> Array:
        """The largest |x_dn| of some features, at least the smallest positive number."""
        largest: Array = np.maximum(self._largest[features], np.finfo(float).tiny)
        return largest

    def sums(self, some: Selection, cotangent: Array) -> Array:
        """sum_n x_dn r_cn for each coordinate, r (C, N)."""
        return self._summed(kernels.csc_column_sums if self.is_sparse else kernels.column_sums, some, cotangent)

    def gradient(self, cotangent: Array) -> Array:
        """The sums of every coordinate, (C, D + 1), in float64 whatever the data are: they tell the duality gap."""
        every = np.arange(len(self._sizes))
        some = (self.select(every, np.full_like(every, c)) for c in range(len(cotangent)))
        return np.array([self.sums(of_class, cotangent) for of_class in some])

    def squares(self, some: Selection, cotangent: Array) -> Array:
        """sum_n x_dn^2 r_cn."""
        return self._summed(kernels.csc_column_squares if self.is_sparse else kernels.column_squares, some, cotangent)

    def _summed(self, kernel: Any, some: Selection, cotangent: Array) -> Array:
        out = np.empty(len(some.features))
        for part in some.calls:
            kernel(self.data, some.features[part], some.classes[part], cotangent, out[part])
        return out

    def add(self, some: Selection, steps: Array, logits: Array) -> None:
        """Change the logits (C, N) as steps along the coordinates do."""
        kernel = kernels.csc_add_columns if self.is_sparse else kernels.add_columns
        for part in some.calls:
            kernel(self.data, some.features[part], some.classes[part], steps[part], logits)

    def at_rest(self, row_weight: Array, probs: Array) -> Motion:
        """No change yet; row_weight: the weights of the rows (N,)."""
        if self.is_sparse:
            by_class, by_row = np.zeros((*probs.shape, 2)), np.zeros((len(row_weight), 2))
            by_class[:, :, 0], by_row[:, 0] = probs, row_weight
            return Motion((by_class, by_row), by_class[:, :, 1], by_row[:, 1])
        changes, mean = np.zeros_like(probs), np.zeros(len(row_weight))
        return Motion((row_weight * probs, probs, changes, mean), changes, mean)

    def sweep(self, some: Selection, motion: Motion, by_coordinate: Array) -> float:
        """Each coordinate once to the minimum of a quadratic model: the largest violation that a step has mended.

        by_coordinate (7, n): see the kernel.
        """
        kernel, worst = kernels.csc_sweep if self.is_sparse else kernels.sweep, 0.0
        for part in some.calls:
            where = self.data, some.features[part], some.classes[part]
            worst = max(worst, kernel(*where, *motion.arguments, by_coordinate, part.start))
        return worst
