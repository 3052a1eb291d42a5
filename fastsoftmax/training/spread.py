"""How the features of X are spread over its rows: mean, deviation, correlations. The penalty has no part in it.

So a path of fits looks once. kernels/fit/coordinates.py has the loops.
"""

from functools import cached_property
from typing import Any

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.kernels.fit.coordinates import BLOCK

LOOKED_AT, LOOKED_AT_BY_FEATURE = 512, 4  # rows that tell the correlations well enough


class Spread:
    """Of features, over all rows by weight.

    Attributes
    ----------
    mean : float64 (D,), or empty: taken as 0, without biases
    deviation : float64 (D,)
        About the mean. It is 0 for a constant feature only (without biases: one of zeros), however small or large that
        is: its squares are taken in units of the feature's own size.
    """

    def __init__(self, X: Any, rows: Any, sample_weight: Array, with_mean: bool) -> None:
        """rows: X as kernels take it."""
        self._X = X
        by_row = sample_weight if sample_weight.any() else np.ones(X.shape[0])
        shares = by_row / by_row.max()  # without overflow
        self._shares = shares / shares.sum()
        self.mean, self.deviation = _moments(rows, X.shape[1], self._shares, with_mean)

    @cached_property
    def correlations(self) -> Array:
        """Of some rows, (D, D): of the others they tell enough."""
        some = self.standardised(max(LOOKED_AT, LOOKED_AT_BY_FEATURE * len(self.deviation)))
        return some.T @ some

    def standardised(self, most: int) -> Array:
        """Rows less the mean, over the deviation, times the root of their share; at random if there are more."""
        rows = np.flatnonzero(self._shares)
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
        X = self._X[rows]
        X = (X if isinstance(X, np.ndarray) else X.toarray()).astype(np.float64, copy=False)
        if self.mean.size:
            X -= self.mean
        X = np.divide(X, self.deviation, out=np.zeros_like(X), where=self.deviation > 0)
        X *= np.sqrt(self._shares[rows] / self._shares[rows].sum())[:, None]
        return X


def _moments(rows: Any, n_features: int, weight: Array, with_mean: bool) -> tuple[Array, Array]:
    """Mean and deviation; weight sums to 1."""
    is_sparse = isinstance(rows, tuple)
    blocks = 1 if is_sparse else max(1, -(-len(weight) // BLOCK))
    sums, least, most = (np.empty((blocks, n_features)) for _ in range(3))
    absent = np.zeros(n_features, np.bool_)
    if is_sparse:
        present = np.empty(n_features, np.int64)
        kernels.csr_feature_sums(rows, weight, sums[0], least[0], most[0], present)
        absent = present < np.count_nonzero(weight)
    else:
        run(kernels.feature_sums, n_features * len(weight), rows, weight, sums, least, most)
    low, high = least.min(axis=0), most.max(axis=0)
    low[absent], high[absent] = np.minimum(low[absent], 0.0), np.maximum(high[absent], 0.0)
    mean = np.where(low == high, low, sums.sum(axis=0)) if with_mean else np.zeros(n_features)
    reach = np.maximum(high / 2 - mean / 2, mean / 2 - low / 2)
    unit = np.ldexp(1.0, np.clip(np.frexp(reach)[1], -1000, 1000))
    if is_sparse:
        kernels.csr_feature_squares(rows, weight, mean, 1.0 / unit, absent, sums[0])
    else:
        run(kernels.feature_squares, n_features * len(weight), rows, weight, mean, 1.0 / unit, sums)
    return mean if with_mean else np.empty(0), np.sqrt(sums.sum(axis=0)) * unit
