"""Whether all numbers of a matrix are finite."""

import numpy as np

from fastsoftmax.kernels.jit import kernel, routine
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, splat, sum_of
from fastsoftmax.kernels.threads import share


@kernel
def all_finite(X, team):
    # X (N, D): x - x is 0, but NaN where x is NaN or infinite
    spoiled = np.zeros(1, np.int64)
    share(team, X.shape[0], X.shape[1], _look, (X, spoiled))
    return spoiled[0] == 0


@routine
def _look(first, last, X, spoiled):
    x, width, end = pointer(X), lanes(X), last * X.shape[1]
    total = splat(X, 0)
    for j in range(first * X.shape[1], end, width):
        some = load_masked(x, j, min(width, end - j), 0)
        total = total + (some - some)
    if sum_of(total) != 0:
        spoiled[0] = 1
