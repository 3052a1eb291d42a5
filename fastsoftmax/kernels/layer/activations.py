"""The activations of hidden layers, and their derivatives written with their value a; in place, element by element."""

from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.vecmath import each_vector
from fastsoftmax.kernels.simd import below, fma, load_masked, pointer, select, splat, store_masked

IDENTITY, LOGISTIC, TANH, RELU = range(4)


@kernel
def activate(z, activation):
    # z (N, C) -> activation(z), in its place
    each_vector(z, 0, z.size, _activate_vector, (pointer(z), activation))


@inlined
def _activate_vector(j, some, z, activation):
    x, two = load_masked(z, j, some, 0), splat(z, 2)
    if activation == RELU:
        x = select(below(x, splat(z, 0)), splat(z, 0), x)  # NaN stays
    elif activation == LOGISTIC:
        x = _logistic(z, x)
    elif activation == TANH:
        x = fma(two, _logistic(z, two * x), splat(z, -1))
    store_masked(x, z, j, some)


@inlined
def _logistic(like, x):
    # 1 / (1 + exp(-x)), by exp(-|x|), which cannot overflow
    nothing, one = splat(like, 0), splat(like, 1)
    negative = below(x, nothing)
    e = exp(select(negative, x, nothing - x))
    return select(negative, e, one) / (e + one)


@kernel
def times_slope(cotangent, a, activation):
    # cotangent * activation'(z), where a = activation(z), in the place of the cotangent
    each_vector(a, 0, a.size, _slope_vector, (pointer(cotangent), pointer(a), activation))


@inlined
def _slope_vector(j, some, cotangent, a, activation):
    y, u, one = load_masked(a, j, some, 0), load_masked(cotangent, j, some, 0), splat(a, 1)
    if activation == RELU:
        u = select(below(splat(a, 0), y), u, splat(a, 0))
    elif activation == LOGISTIC:
        u = u * (y * (one - y))
    elif activation == TANH:
        u = u * fma(splat(a, 0) - y, y, one)
    store_masked(u, cotangent, j, some)
