"""How features are spread, by passes over the parts of the rows: moments, and rows chosen at random.

The strength of the penalty has no part in it, so that a path of fits looks once (Objective.spread).
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.kernels.fit.coordinates import BLOCK
from fastsoftmax.training.parts import Part, Parts, Sums

# The least eigenvalue of a matrix of features over its largest, below which they depend on one another
DEPENDENT = 1e-3
POWERS = 8  # of a matrix, times any vector, that tell its largest eigenvalue to some percent


class Shares(NamedTuple):
    """What makes the weights of the rows sum to 1: each is divided by the largest, without overflow, then by `total`.

    A largest of 0: all are 1.
    """

    largest: float
    total: float

    def of(self, part: Part) -> Array:
        """Of some rows."""
        shares: Array = self._by_largest(part) / self.total
        return shares

    def _by_largest(self, part: Part) -> Array:
        by_row = part.sample_weight
        return by_row / self.largest if by_row.size and self.largest else np.ones(part.losses.size)


def _row_shares(parts: Parts, largest: float) -> Shares:
    shares = Shares(largest, 1.0)
    if not shares.largest:
        return Shares(0.0, float(parts.n_rows))
    return Shares(largest, float(parts.fold(_sum_of_shares, shares, with_X=False)[0]))


def _sum_of_shares(part: Part, shares: Shares) -> Sums:
    return (shares.of(part).sum(),)


class Sample(NamedTuple):
    """Some rows.

    Attributes
    ----------
    rows : float64 (n, D)
    weight : their shares (n,)
    """

    rows: Array
    weight: Array


class Spread:
    """Mean and deviation of each feature, over all rows by weight, and rows that tell how features go together.

    Parameters
    ----------
    largest : weight of a row, or 0: all are 1
    most : rows of a sample, 0 if none is wanted

    Attributes
    ----------
    n_numbers : that X has, in the rows with a weight
    mean : float64 (D,), or empty without biases: 0
    deviation : float64 (D,)
        About the mean. It is 0 for a constant feature only (without biases: one of zeros), however small or large that
        is: its squares are taken in units of the feature's own size.
    """

    def __init__(self, parts: Parts, largest: float, with_mean: bool, most: int) -> None:
        self._parts, self._shares = parts, _row_shares(parts, largest)
        sums, low, high, present, counts = parts.fold(
            _feature_sums, self._shares, parts.n_features, combine=_sums_and_ends
        )
        self.n_numbers = int(present.sum())
        absent = present < counts.sum()  # only in a sparse X: whether some row with a weight holds no number
        low[absent], high[absent] = np.minimum(low[absent], 0.0), np.maximum(high[absent], 0.0)
        mean: Any = np.where(low == high, low, sums) if with_mean else np.zeros(parts.n_features)
        reach = np.maximum(high / 2 - mean / 2, mean / 2 - low / 2)
        unit: Array = np.ldexp(1.0, np.clip(np.frexp(reach)[1], -1000, 1000))
        chosen = _choose(counts, most) if most else None
        how = self._shares, mean, 1.0 / unit, absent, chosen
        squares, held, *sample = parts.fold(_feature_squares, *how, combine=_sums_and_rows)
        if absent.any():
            squares = squares + np.where(absent, np.maximum(1.0 - held, 0.0), 0.0) * (mean / unit) ** 2
        self.mean: Array = mean if with_mean else np.empty(0)
        self.deviation: Array = np.sqrt(squares) * unit
        self._counts, self._sample = counts, Sample(*sample)

    @cached_property
    def correlations(self) -> Array:
        """(D, D), as the sample tells them."""
        some = self._standardised(self._sample)
        return some.T @ some

    @cached_property
    def is_dependent(self) -> bool:
        """Whether some features are nearly combinations of others."""
        correlations = self.correlations.copy()  # and 1 for a feature by itself, where the sample lacks rare values
        return is_dependent(correlations, np.maximum(1.0 - np.diagonal(correlations), 0.0))

    def standardised(self, most: int) -> Array:
        """So many rows less the mean, over the deviation, times the root of their share."""
        sample = self._sample
        if most > len(sample.rows) < self._counts.sum():
            chosen = _choose(self._counts, most)
            sample = Sample(*self._parts.fold(_take, self._shares, self._parts.n_features, *chosen, combine=stack))
        return self._standardised(sample)

    def _standardised(self, sample: Sample) -> Array:
        X = sample.rows - self.mean if self.mean.size else sample.rows.copy()
        X /= np.where(self.deviation > 0, self.deviation, np.inf)
        X *= np.sqrt(sample.weight / sample.weight.sum())[:, None]
        return X


def _feature_sums(part: Part, shares: Shares, n_features: int) -> Sums:
    """Of the rows with a weight: sums by share, least and largest of each feature; how many numbers, and rows."""
    weight = shares.of(part)
    n_rows = np.array([np.count_nonzero(weight)])
    if isinstance(part.rows, tuple):
        sums, least, most = (np.empty(n_features) for _ in range(3))
        present = np.empty(n_features, np.int64)
        kernels.csr_feature_sums(part.rows, weight, sums, least, most, present)
        return sums, least, most, present, n_rows
    by_block = [np.empty((max(1, -(-len(weight) // BLOCK)), n_features)) for _ in range(3)]
    run(kernels.feature_sums, part.rows.size, part.rows, weight, *by_block)
    sums, least, most = by_block[0].sum(axis=0), by_block[1].min(axis=0), by_block[2].max(axis=0)
    return sums, least, most, np.full(n_features, n_rows[0]), n_rows


def _sums_and_ends(left: Sums, right: Sums) -> Sums:
    sums, present = left[0] + right[0], left[3] + right[3]
    return sums, np.minimum(left[1], right[1]), np.maximum(left[2], right[2]), present, np.append(left[4], right[4])


def _feature_squares(
    part: Part, shares: Shares, mean: Array, scale: Array, absent: Array, chosen: tuple[Array, Array] | None
) -> Sums:
    """Sums of squares about the mean (of a sparse X without its zeros), the shares of rows that hold a number of each
    feature, and the chosen rows.
    """
    weight, held = shares.of(part), np.zeros(len(mean))
    if isinstance(part.rows, tuple):
        squares = np.empty(len(mean))
        kernels.csr_feature_squares(part.rows, weight, mean, scale, squares, held)
    else:
        by_block = np.empty((max(1, -(-len(weight) // BLOCK)), len(mean)))
        run(kernels.feature_squares, part.rows.size, part.rows, weight, mean, scale, by_block)
        squares = by_block.sum(axis=0)
    rows = (np.empty((0, len(mean))), np.empty(0)) if chosen is None else _take(part, shares, len(mean), *chosen)
    return squares, held, *rows


def _sums_and_rows(left: Sums, right: Sums) -> Sums:
    return left[0] + right[0], left[1] + right[1], *stack(left[2:], right[2:])


def _choose(counts: Array, most: int) -> tuple[Array, Array]:
    """Rows, by their place among those that have a weight: of more than `most`, one at random of each of as many runs.

    And where each part begins among them.
    """
    starts = np.append(0, np.cumsum(counts))
    n_rows = int(starts[-1])
    if n_rows <= most:
        return np.arange(n_rows), starts
    runs = np.arange(most + 1) * n_rows // most
    return np.random.default_rng(0).integers(runs[:-1], runs[1:]), starts


def _take(part: Part, shares: Shares, n_features: int, chosen: Array, starts: Array) -> Sums:
    """Those of the chosen rows that lie in this part, and their shares."""
    start, end = starts[part.number], starts[part.number + 1]
    some = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, end)] - start
    weight = shares.of(part)
    rows = np.flatnonzero(weight)[some]
    return _dense(part.rows, rows, n_features), weight[rows]


def _dense(X: Any, rows: Array, n_features: int) -> Array:
    """Some rows of X, as kernels take it, in float64."""
    if isinstance(X, tuple):
        X = csr_array(X, shape=(len(X[2]) - 1, n_features))
        return np.asarray(X[rows].toarray(), np.float64)
    some: Array = X[rows].astype(np.float64, copy=False)
    return some


def stack(left: Sums, right: Sums) -> Sums:
    """Rows of parts that follow one another."""
    return tuple(np.concatenate([a, b]) for a, b in zip(left, right, strict=True))


def is_dependent(K: Array, rest: Array) -> bool:
    """Whether the least eigenvalue of K + diag(rest) is small beside its largest: K less it is not definite.

    The largest is found by power iteration, well enough; Cholesky takes a twentieth of the time of all eigenvalues. K
    is lost.
    """
    diagonal = K.reshape(-1)[:: len(K) + 1]
    diagonal += rest
    vector = K[np.argmax(diagonal)]
    for _ in range(POWERS):
        vector = K @ (vector / np.linalg.norm(vector))
    diagonal -= DEPENDENT * np.linalg.norm(vector)
    try:
        np.linalg.cholesky(K)
    except np.linalg.LinAlgError:
        return True
    return False
