"""One step of gradient descent, and the order of the samples: what an epoch needs besides loss and gradient.

Shapes: params, grad and the moments (P,), all parameters of a network one after another (layer/network.py), in one
dtype. `rule` is a float64 array that tells how to step; see RULE. t, the steps taken so far, is counted in it.
"""

import math

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.vecmath import each_vector
from fastsoftmax.kernels.simd import fma, load_masked, pointer, splat, sqrt, store_masked

# Positions in rule: which method, the learning rate, momentum or beta_1, beta_2, epsilon, t
METHOD, RATE, DECAY, DECAY_SQUARES, EPSILON, STEPS = range(6)
RULE_SIZE = 6
SGD, NESTEROV, ADAM = 0.0, 1.0, 2.0

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@kernel
def descend(params, grad, moment, squares, rule):
    # one step of the rule: params, moment, squares and t change
    rule[STEPS] += 1.0
    descend_part(params, grad, moment, squares, rule, 0, params.size)


@routine
def descend_part(params, grad, moment, squares, rule, first, last):
    # parameters first .. last of a step, which t counts already
    if rule[METHOD] == ADAM:
        _adam(params, grad, moment, squares, rule, first, last)
    else:
        _momentum(params, grad, moment, rule, first, last)


@inlined
def _momentum(params, grad, velocity, rule, first, last):
    # v = m v - rate g; params += v, or m v - rate g with the new v for Nesterov's
    factors = splat(params, -rule[RATE]), splat(params, rule[DECAY])
    arguments = (factors, rule[METHOD] == NESTEROV, pointer(params), pointer(grad), pointer(velocity))
    each_vector(params, first, last, _momentum_vector, arguments)


@inlined
def _momentum_vector(j, some, factors, is_nesterov, params, grad, velocity):
    minus_rate, decay = factors
    down = minus_rate * load_masked(grad, j, some, 0)
    v = fma(decay, load_masked(velocity, j, some, 0), down)
    store_masked(v, velocity, j, some)
    if is_nesterov:
        v = fma(decay, v, down)
    store_masked(load_masked(params, j, some, 0) + v, params, j, some)


@routine(deferred=True)
def _adam(params, grad, moment, squares, rule, first, last):
    # Kingma & Ba 2015: m = b1 m + (1 - b1) g; u = b2 u + (1 - b2) g^2; params -= rate_t m / (sqrt u + eps)
    t, b1, b2 = np.int64(rule[STEPS]), rule[DECAY], rule[DECAY_SQUARES]
    rate = splat(params, rule[RATE] * math.sqrt(1.0 - _power(b2, t)) / (1.0 - _power(b1, t)))
    keep, take, eps = splat(params, b1), splat(params, 1.0 - b1), splat(params, rule[EPSILON])
    factors = keep, take, splat(params, b2), splat(params, 1.0 - b2), rate, eps
    arguments = (factors, pointer(params), pointer(grad), pointer(moment), pointer(squares))
    each_vector(params, first, last, _adam_vector, arguments)


@inlined
def _adam_vector(j, some, factors, params, grad, moment, squares):
    keep, take, keep_square, take_square, rate, eps = factors
    g = load_masked(grad, j, some, 0)
    m = fma(keep, load_masked(moment, j, some, 0), take * g)
    u = fma(keep_square, load_masked(squares, j, some, 0), take_square * g * g)
    store_masked(m, moment, j, some)
    store_masked(u, squares, j, some)
    store_masked(load_masked(params, j, some, 0) - rate * m / (sqrt(u) + eps), params, j, some)


@inlined
def _power(base, exponent):
    # base ** exponent, by squaring: the C library's pow has other bits on other machines
    power = 1.0
    while exponent > 0:
        if exponent % 2 == 1:
            power *= base
        base, exponent = base * base, exponent // 2
    return power


@kernel
def shuffle(order, state):
    # order (N,) in a random order (Fisher and Yates); state (1,) uint64, that of SplitMix64 (Steele et al. 2014)
    at, s = pointer(order), state[0]
    for i in range(order.size - 1, 0, -1):
        s += _WEYL
        x = (s ^ (s >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        x ^= x >> np.uint64(31)
        j = np.int64(np.float64(x >> np.uint64(11)) * 2.0**-53 * (i + 1))
        at[i], at[j] = at[j], at[i]
    state[0] = s
