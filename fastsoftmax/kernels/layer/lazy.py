"""A first layer on a CSR matrix whose steps of sgd touch only the features that a batch meets.

Of other features the gradient is that of their penalty, lambda w. So the k steps that a feature has missed are one
linear map of each of its weights w and velocities v,

    (v, w) <- A^k (v, w)    A = [[m, -rate lambda], [m, 1 - rate lambda]], of momentum m,
                            A = [[m, -rate lambda], [m^2, 1 - rate lambda (1 + m)]], of Nesterov's

made up for when the feature is met, and at the end of the epoch: the result is that of dense steps, to rounding. What
the penalty is in between goes by the sums S of v^2, v w and w^2 of all features: a step without data is a linear map of
them, too, and to what that gives the features met add what their data change. (adam's steps are no linear map: there
each step goes through all features.)

Features = (weights, velocity, done, slots, met, powers, sums). weights and velocity (D H,) are those of the first
layer, transposed, so that a number of X meets the H units side by side; done (D,) says how many steps of the epoch a
feature has taken; met has the features of this batch, slots (D,) where each is in it, or -1; powers (steps + 1, 4) are
A^k, less 1 in its last entry; sums (3,) are S. The gradient of the feature in slot s is in grad from s H on.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.fit.optimizers import ADAM, DECAY, METHOD, NESTEROV, RATE
from fastsoftmax.kernels.jit import inlined, inlined_overload, routine
from fastsoftmax.kernels.layer.sparse import AHEAD, transpose_weight
from fastsoftmax.kernels.rows.vecmath import dot_row
from fastsoftmax.kernels.simd import fma, lanes, load_masked, pointer, prefetch, splat, store_masked, sum_of
from fastsoftmax.kernels.threads import share
from fastsoftmax.kernels.views import matrix, on_huge_pages

# What takes how long, where the dense step of a weight takes 1: a number of X that a batch meets, besides its units;
# a unit of it where units lie apart; all transpositions, for a unit of a feature. (2000 x 2000, 5
# classes, 40 numbers a row: 1.2 ms lazily, 0.6 by dense steps; 11314 x 20000, 20 classes, 100 numbers: 26 and 40 ms.)
MEETING, STRIDE, TRANSPOSITIONS = 48, 8, 4


def is_lazy(X, n_features, n_units, n_rows, n_batches, rule):
    """Whether so many rows of X, in so many batches, take less time this way."""
    if not isinstance(X, tuple) or rule[METHOD] == ADAM:
        return False
    met = (X[2][-1] - X[2][0]) / max(1, len(X[2]) - 1) * n_rows
    lazily = met * (MEETING + 2 * n_units) + TRANSPOSITIONS * n_features * n_units
    return bool(lazily < met * STRIDE * n_units + n_batches * n_features * n_units)


@inlined_overload(is_lazy)
def _is_lazy_jitted(X, n_features, n_units, n_rows, n_batches, rule):
    if not isinstance(X, types.BaseTuple):
        return lambda X, n_features, n_units, n_rows, n_batches, rule: False

    def csr(X, n_features, n_units, n_rows, n_batches, rule):
        met = (X[2][X[2].size - 1] - X[2][0]) / max(1, X[2].size - 1) * n_rows
        lazily = met * (MEETING + 2 * n_units) + TRANSPOSITIONS * n_features * n_units
        return rule[METHOD] != ADAM and lazily < met * STRIDE * n_units + n_batches * n_features * n_units

    return csr


def begin_features(X, team, lazy, sizes, params, moment, strength, rule, n_batches):
    """Features for so many batches, empty unless they go this way; of a matrix there are none."""
    return _begin(team, lazy, sizes, params, moment, strength, rule, n_batches) if isinstance(X, tuple) else ()


@inlined_overload(begin_features, counts_references=True)
def _begin_features_jitted(X, team, lazy, sizes, params, moment, strength, rule, n_batches):
    if not isinstance(X, types.BaseTuple):
        return lambda X, team, lazy, sizes, params, moment, strength, rule, n_batches: ()

    def csr(X, team, lazy, sizes, params, moment, strength, rule, n_batches):
        return _begin(team, lazy, sizes, params, moment, strength, rule, n_batches)

    return csr


@routine(counts_references=True)
def _begin(team, lazy, sizes, params, moment, strength, rule, n_batches):
    n_in, n_out, n_steps = (sizes[0], sizes[1], n_batches) if lazy else (0, 0, 0)
    weights = on_huge_pages(np.empty(n_in * n_out, params.dtype))
    velocity = on_huge_pages(np.empty(n_in * n_out, params.dtype))
    share(team, n_in, n_out, transpose_weight, (matrix(params, 0, n_out, n_in), weights, 0))
    share(team, n_in, n_out, transpose_weight, (matrix(moment, 0, n_out, n_in), velocity, 0))
    slots = np.empty(n_in, np.int64)
    for d in range(n_in):  # (assigning to slices takes longer to compile)
        slots[d] = -1
    sums, v, w = np.zeros(3), pointer(velocity), pointer(weights)
    if strength != 0.0:
        sums[0] = dot_row(v, 0, v, 0, velocity.size)
        sums[1] = dot_row(v, 0, w, 0, velocity.size)
        sums[2] = dot_row(w, 0, w, 0, velocity.size)
    powers = _powers(strength, rule, n_steps)
    return weights, velocity, np.zeros(n_in, np.int64), slots, np.empty(n_in, np.int64), powers, sums


@routine(counts_references=True)
def _powers(strength, rule, n_steps):
    m, down, powers = rule[DECAY], -rule[RATE] * strength, np.zeros((n_steps + 1, 4))
    p, q, r, s = m, down, m, down  # of A, less 1 in its last entry
    if rule[METHOD] == NESTEROV:
        r, s = m * m, down * (1.0 + m)
    powers[0, 0] = 1.0
    for k in range(n_steps):
        a, b, c, d = powers[k, 0], powers[k, 1], powers[k, 2], powers[k, 3]
        powers[k + 1, 0] = p * a + q * c
        powers[k + 1, 1] = p * b + q * (1.0 + d)
        powers[k + 1, 2] = r * a + s * c + c
        powers[k + 1, 3] = r * b + s * (1.0 + d) + d
    return powers


def end_features(X, team, n_steps, sizes, params, moment, features):
    """All features take the steps that they have missed, and go back to where they came from."""
    if isinstance(X, tuple):
        _end(team, n_steps, sizes, params, moment, features)


@inlined_overload(end_features)
def _end_features_jitted(X, team, n_steps, sizes, params, moment, features):
    if not isinstance(X, types.BaseTuple):
        return lambda X, team, n_steps, sizes, params, moment, features: None

    def csr(X, team, n_steps, sizes, params, moment, features):
        _end(team, n_steps, sizes, params, moment, features)

    return csr


@routine
def _end(team, n_steps, sizes, params, moment, features):
    n_in, n_out = sizes[0], sizes[1]
    share(team, n_in, n_out, _catch_up_all, (n_steps, n_out, features))
    share(team, n_out, n_in, transpose_weight, (matrix(features[0], 0, n_in, n_out), params, 0))
    share(team, n_out, n_in, transpose_weight, (matrix(features[1], 0, n_in, n_out), moment, 0))


@routine
def _catch_up_all(first, last, n_steps, n_out, features):
    done = pointer(features[2])
    for d in range(first, last):
        _catch_up(pointer(features[0]), pointer(features[1]), pointer(features[5]), d, n_steps - done[d], n_out)


@inlined
def _catch_up(weights, velocity, powers, d, missed, n_out):
    # feature d takes the steps that it has missed
    if missed > 0:
        p, q = splat(weights, powers[4 * missed]), splat(weights, powers[4 * missed + 1])
        r, s = splat(weights, powers[4 * missed + 2]), splat(weights, powers[4 * missed + 3])
        for c in range(d * n_out, (d + 1) * n_out, lanes(weights)):
            some = min(lanes(weights), (d + 1) * n_out - c)
            v, w = load_masked(velocity, c, some, 0), load_masked(weights, c, some, 0)
            store_masked(fma(p, v, q * w), velocity, c, some)
            store_masked(w + fma(r, v, s * w), weights, c, some)


@routine
def meet_features(X, order, first, count, step, n_out, features, grad):
    # the features of rows order[first : first + count] are numbered, and brought up to date -> how many there are
    weights, velocity, done, slots, met, powers, _ = features
    indices, indptr, n_met = X[1], X[2], 0
    for i in range(count):
        for k in range(indptr[order[first + i]], indptr[order[first + i] + 1]):
            d = np.int64(indices[k])
            if slots[d] < 0:
                slots[d], met[n_met] = n_met, d
                n_met += 1
                _catch_up(pointer(weights), pointer(velocity), pointer(powers), d, step - done[d], n_out)
    for j in range(n_met * n_out):
        grad[j] = 0
    return n_met


@routine
def lazy_logits(X, order, first, features, bias, z):
    # z_ic = b_c + sum_k data_k w_(indices_k, c) over row order[first + i]
    (data, indices, indptr), weights, n_out = X, features[0], z.shape[1]
    w = pointer(weights)
    for i in range(z.shape[0]):
        n = order[first + i]
        for c in range(0, n_out, lanes(weights)):
            some = min(lanes(weights), n_out - c)
            total = load_masked(pointer(bias), c, some, 0)
            for k in range(indptr[n], indptr[n + 1]):
                here = np.int64(indices[k]) * n_out + c
                total = fma(splat(weights, data[k]), load_masked(w, here, some, 0), total)
            store_masked(total, pointer(z), i * n_out + c, some)


@routine
def lazy_grad_weight(X, order, first, G, features, grad):
    # sum_i G_ic X_(order[first + i], d) is added to the gradient of the slot of each feature d that the rows have
    (data, indices, indptr), slots, n_out = X, features[3], G.shape[1]
    out = pointer(grad)
    for i in range(G.shape[0]):
        n = order[first + i]
        for c in range(0, n_out, lanes(grad)):
            some = min(lanes(grad), n_out - c)
            g = load_masked(pointer(G), i * n_out + c, some, 0)
            for k in range(indptr[n], indptr[n + 1]):
                prefetch(out, slots[np.int64(indices[min(k + AHEAD, indices.size - 1)])] * n_out + c)
                here = slots[np.int64(indices[k])] * n_out + c
                store_masked(fma(splat(grad, data[k]), g, load_masked(out, here, some, 0)), out, here, some)


@routine
def step_features(n_met, step, n_out, pins_first, strength, rule, features, grad):
    # the features that this batch meets take its step. -> the sum of the squares of all weights before it
    weights, velocity, done, slots, met, powers, sums = features
    squares, one = sums[2], powers[1]
    if strength != 0.0:
        _step_sums(one, sums)
    p, q, r, s = splat(grad, one[0]), splat(grad, one[1]), splat(grad, one[2]), splat(grad, one[3])
    minus_rate = splat(grad, -rule[RATE])
    share_of_w = splat(grad, 1.0 + rule[DECAY] if rule[METHOD] == NESTEROV else 1.0)
    for slot in range(n_met):
        d = met[slot]
        done[d], slots[d] = step + 1, -1
        if pins_first:
            grad[slot * n_out] = 0
        for c in range(0, n_out, lanes(grad)):
            some, here = min(lanes(grad), n_out - c), d * n_out + c
            u = minus_rate * load_masked(pointer(grad), slot * n_out + c, some, 0)
            v, w = load_masked(pointer(velocity), here, some, 0), load_masked(pointer(weights), here, some, 0)
            down = share_of_w * u
            new_v, new_w = fma(p, v, q * w) + u, w + (fma(r, v, s * w) + down)
            store_masked(new_v, pointer(velocity), here, some)
            store_masked(new_w, pointer(weights), here, some)
            if strength != 0.0:  # what is there now less what were there without u
                sums[0] += np.float64(sum_of(u * (new_v + new_v - u)))
                sums[1] += np.float64(sum_of(fma(u, new_w, down * (new_v - u))))
                sums[2] += np.float64(sum_of(down * (new_w + new_w - down)))
    return squares


@inlined
def _step_sums(one, sums):
    # S of (p v + q w, r v + s w)
    p, q, r, s = one[0], one[1], one[2], 1.0 + one[3]
    vv, vw, ww = sums[0], sums[1], sums[2]
    sums[0] = p * p * vv + 2.0 * p * q * vw + q * q * ww
    sums[1] = p * r * vv + (p * s + q * r) * vw + q * s * ww
    sums[2] = r * r * vv + 2.0 * r * s * vw + s * s * ww
