"""Whether all numbers of a matrix are finite."""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.vecmath import sum_lanes
from fastsoftmax.kernels.simd import load_masked, pointer, sum_of
from fastsoftmax.kernels.threads import share


@kernel(counts_references=True)
def all_finite(X, team):
    # X (N, D): x - x is 0, but NaN where x is NaN or infinite
    spoiled = np.zeros(1, np.int64)
    share(team, X.shape[0], X.shape[1], _look, (X, spoiled))
    return spoiled[0] == 0


@routine
def _look(first, last, X, spoiled):
    start, end = first * X.shape[1], last * X.shape[1]
    if sum_of(sum_lanes(X, start, end - start, _plus_difference, (pointer(X),))) != 0:
        spoiled[0] = 1


@inlined
def _plus_difference(total, j, some, x):
    value = load_masked(x, j, some, 0)
    return total + (value - value)
