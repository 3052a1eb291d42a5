"""What solvers do with vectors of all parameters: products, sums of multiples, a step of conjugate gradients.

Shapes: vectors (P,), C-contiguous, of one dtype; numbers that come out are float64. Sums go by blocks of BLOCK
elements, folded in their order, so that threads do not change a bit.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.vecmath import dot_row, each_vector
from fastsoftmax.kernels.simd import fma, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import share_each

BLOCK = 8192


@inlined
def n_blocks(x):
    # how many blocks a vector has
    return -(-x.size // BLOCK)


@kernel(counts_references=True)
def vector_product(x, y, team):
    # -> sum_j x_j y_j
    sums = np.empty(n_blocks(x))
    share_each(team, sums.size, _product_span, (x, y, sums))
    return total_of(sums)


@routine
def _product_span(first, last, x, y, sums):
    for block in range(first, last):
        start = block * BLOCK
        sums[block] = block_product(pointer(x), start, pointer(y), start, min(BLOCK, x.size - start))


@routine
def block_product(x, x_start, y, y_start, count):
    # dot_row, compiled once for all that is made of it
    return dot_row(x, x_start, y, y_start, count)


@inlined
def total_of(sums):
    total = 0.0
    for block in range(sums.size):
        total += sums[block]
    return total


@kernel
def add_multiple(x, factor, y, out, team):
    # out_j = x_j + factor y_j; out may be x or y
    share_each(team, n_blocks(x), _multiple_span, (x, factor, y, out))


@routine
def _multiple_span(first, last, x, factor, y, out):
    arguments = (pointer(x), splat(x, factor), pointer(y), pointer(out))
    each_vector(x, first * BLOCK, min(last * BLOCK, x.size), _multiple, arguments)


@inlined
def _multiple(j, some, x, by, y, out):
    store_masked(fma(by, load_masked(y, j, some, 0), load_masked(x, j, some, 0)), out, j, some)


@kernel(counts_references=True)
def conjugate_step(step, direction, product, solution, residual, team):
    # of conjugate gradients (Nocedal & Wright, algorithm 5.2): solution += step direction, residual -= step product;
    # -> the square of the residual
    sums = np.empty(n_blocks(residual))
    share_each(team, sums.size, _conjugate_span, (step, direction, product, solution, residual, sums))
    return total_of(sums)


@routine
def _conjugate_span(first, last, step, direction, product, solution, residual, sums):
    steps, x, r = (splat(residual, step), splat(residual, -step)), pointer(solution), pointer(residual)
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, residual.size)
        each_vector(residual, start, end, _conjugate, (steps, pointer(direction), pointer(product), x, r))
        sums[block] = block_product(r, start, r, start, end - start)


@inlined
def _conjugate(j, some, steps, direction, product, solution, residual):
    d, hd = load_masked(direction, j, some, 0), load_masked(product, j, some, 0)
    x, r = load_masked(solution, j, some, 0), load_masked(residual, j, some, 0)
    store_masked(fma(steps[0], d, x), solution, j, some)
    store_masked(fma(steps[1], hd, r), residual, j, some)
