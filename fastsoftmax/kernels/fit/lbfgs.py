"""The memory of L-BFGS, and the direction that it tells.

memory (2 m, P), a ring, has m steps s_i of the solver and, below them, the changes y_i of the gradient that they made.
The two-loop recursion (Nocedal & Wright 2006, algorithm 7.4) only ever adds multiples of these vectors and of the
gradient: so its coefficients follow from the vectors' products with one another, and are found without touching a
vector (Chen, Wang & Zhou 2014). The vectors are read twice an iteration, for the products of the new pair and the
gradient with all, and for the sum; the recursion as it is usually written reads them, and what it works on, five times.

products (2 m, 2 m) holds the products of the memory's rows, by_grad (2 m,) those with the gradient; float64. Those of
two steps are never asked for, and stay 0.
"""

import math

import numpy as np

from fastsoftmax.kernels.fit.vectors import BLOCK, block_product, n_blocks, total_of
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.vecmath import each_vector
from fastsoftmax.kernels.simd import fma, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import share_each


@kernel(counts_references=True)
def remember_pair(memory, place, n_pairs, step, grad, products, by_grad, team):
    # Row `place` of the memory is the direction that was gone by `step`, row m + place the gradient there, and grad the
    # one before: they become the pair (s, y) and the new gradient. Pairs 0 .. n_pairs are filled, this one among them;
    # their products, and those with the gradient, are brought up to date
    m = memory.shape[0] // 2
    sums = np.empty((n_blocks(grad), 2 * m, 3))
    share_each(team, sums.shape[0], _remember_span, (memory, place, n_pairs, step, grad, sums))
    s, y = place, m + place
    for i in range(2 * m):
        if i % m < n_pairs:
            for k in range(1 if i < m else 0, 3):
                total = 0.0
                for block in range(sums.shape[0]):
                    total += sums[block, i, k]
                if k == 0:
                    products[i, s] = products[s, i] = total
                elif k == 1:
                    products[i, y] = products[y, i] = total
                else:
                    by_grad[i] = total


@routine
def _remember_span(first, last, memory, place, n_pairs, step, grad, sums):
    m, size, rows, g = memory.shape[0] // 2, grad.size, pointer(memory), pointer(grad)
    s, y, by = place * size, (m + place) * size, splat(grad, step)
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, size)
        each_vector(grad, start, end, _make_pair, (rows, s, y, by, g))
        for i in range(2 * m):
            if i % m < n_pairs:
                row = i * size + start
                if i >= m:
                    sums[block, i, 0] = block_product(rows, row, rows, s + start, end - start)
                sums[block, i, 1] = block_product(rows, row, rows, y + start, end - start)
                sums[block, i, 2] = block_product(rows, row, g, start, end - start)


@inlined
def _make_pair(j, some, rows, s, y, by, g):
    new = load_masked(rows, y + j, some, 0)
    store_masked(by * load_masked(rows, s + j, some, 0), rows, s + j, some)
    store_masked(new - load_masked(g, j, some, 0), rows, y + j, some)
    store_masked(new, g, j, some)


@kernel(counts_references=True)
def move_memory(memory, n_pairs, ratio, ridge, grad, products, by_grad, team):
    # The pairs 0 .. n_pairs of (C, D) weights and C biases in other coordinates, with another penalty: a weight's step
    # is ratio_d times as long there, its gradient's change 1 / ratio_d times, and ridge_d times that step more
    m = memory.shape[0] // 2
    sums = np.empty((n_blocks(grad), 2 * m, 2 * m + 1))
    share_each(team, n_pairs, _move_pairs, (memory, ratio, ridge))
    share_each(team, sums.shape[0], _products_span, (memory, n_pairs, grad, sums))
    for i in range(2 * m):
        if i % m < n_pairs:
            by_grad[i] = 0.0
            products[i, : i + 1] = 0.0
            for block in range(sums.shape[0]):
                by_grad[i] += sums[block, i, 2 * m]
                for k in range(i + 1 if i >= m else 0):
                    if k % m < n_pairs:
                        products[i, k] += sums[block, i, k]
            for k in range(i):
                products[k, i] = products[i, k]


@routine
def _move_pairs(first, last, memory, ratio, ridge):
    n_features, m, rows = ratio.size, memory.shape[0] // 2, pointer(memory)
    n_classes = memory.shape[1] // (n_features + 1)
    for i in range(first, last):
        for c in range(n_classes):
            s = i * memory.shape[1] + c * n_features
            y = s + m * memory.shape[1]
            for d in range(n_features):
                step = np.float64(rows[s + d]) * ratio[d]
                rows[s + d] = step
                rows[y + d] = np.float64(rows[y + d]) / ratio[d] + ridge[d] * step


@routine
def _products_span(first, last, memory, n_pairs, grad, sums):
    m, size, rows, g = memory.shape[0] // 2, grad.size, pointer(memory), pointer(grad)
    for block in range(first, last):
        start, count = block * BLOCK, min(BLOCK, size - block * BLOCK)
        for i in range(2 * m):
            if i % m < n_pairs:
                row = i * size + start
                for k in range(i + 1 if i >= m else 0):
                    if k % m < n_pairs:
                        sums[block, i, k] = block_product(rows, row, rows, k * size + start, count)
                sums[block, i, 2 * m] = block_product(rows, row, g, start, count)


@kernel(counts_references=True)
def lbfgs_direction(memory, newest, n_pairs, grad, products, by_grad, place, team):
    # -H g into row `place` of the memory, which may be that of the oldest pair; H is what n_pairs pairs, the newest at
    # `newest`, tell of the Hessian's inverse. -> its product with g, and the first step of a line search along it:
    # features that go together make the Hessian larger than the identity along the first gradient, so length 1 there
    coefficients = np.zeros(memory.shape[0])
    by_gradient = _two_loops(newest, n_pairs, products, by_grad, coefficients)
    sums = np.empty(n_blocks(grad))
    arguments = (memory, place, n_pairs, grad, coefficients, by_gradient, sums)
    share_each(team, sums.size, _direction_span, arguments)
    slope = total_of(sums)
    return slope, 1.0 if n_pairs or not slope < 0.0 else min(1.0, 1.0 / math.sqrt(-slope))


@inlined(counts_references=True)
def _two_loops(newest, n_pairs, products, by_grad, coefficients):
    # the coefficients of the memory's rows in -H g, and that of g
    m, by_gradient = coefficients.size // 2, -1.0
    if n_pairs == 0:
        return by_gradient
    alpha = np.zeros(m)
    for back in range(n_pairs):
        i = (newest - back) % m
        alpha[i] = _product(i, by_gradient, products, by_grad, coefficients, n_pairs) / products[i, m + i]
        coefficients[m + i] -= alpha[i]
    scale = products[newest, m + newest] / products[m + newest, m + newest]
    by_gradient *= scale
    for i in range(coefficients.size):
        coefficients[i] *= scale
    for back in range(n_pairs - 1, -1, -1):
        i = (newest - back) % m
        beta = _product(m + i, by_gradient, products, by_grad, coefficients, n_pairs) / products[i, m + i]
        coefficients[i] += alpha[i] - beta
    return by_gradient


@inlined
def _product(row, by_gradient, products, by_grad, coefficients, n_pairs):
    # of a row of the memory with what the coefficients make
    total, m = by_gradient * by_grad[row], coefficients.size // 2
    for k in range(n_pairs):
        total += coefficients[k] * products[row, k] + coefficients[m + k] * products[row, m + k]
    return total


@routine
def _direction_span(first, last, memory, place, n_pairs, grad, coefficients, by_gradient, sums):
    m, size, rows, g = memory.shape[0] // 2, grad.size, pointer(memory), pointer(grad)
    out, factors = place * size, pointer(coefficients)
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, size)
        each_vector(grad, start, end, _combine, (rows, size, m, n_pairs, g, factors, by_gradient, out))
        sums[block] = block_product(rows, out + start, g, start, end - start)


@inlined
def _combine(j, some, rows, size, m, n_pairs, g, factors, by_gradient, out):
    total = splat(g, by_gradient) * load_masked(g, j, some, 0)
    for k in range(n_pairs):
        total = fma(splat(g, factors[k]), load_masked(rows, k * size + j, some, 0), total)
        total = fma(splat(g, factors[m + k]), load_masked(rows, (m + k) * size + j, some, 0), total)
    store_masked(total, rows, out + j, some)
