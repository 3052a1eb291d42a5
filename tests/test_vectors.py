"""Vectors of solvers: each operation against NumPy, on threads; the memory of L-BFGS against the recursion."""

import numpy as np
import pytest
from helpers import FLOATS, JIT, rng

import fastsoftmax as fs
from fastsoftmax import kernels
from fastsoftmax._threads import run
from fastsoftmax.kernels.fit.vectors import BLOCK

SIZES = (0, 1, 15, 16, 17, 1000, BLOCK, BLOCK + 1, 5 * BLOCK + 77)


def vectors(n, size, dtype):
    return [rng(k + size).standard_normal(size).astype(dtype) for k in range(n)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_products_and_sums(size, dtype):
    x, y = vectors(2, size, dtype)
    exact = x.astype(np.longdouble) @ y.astype(np.longdouble)
    eps = np.finfo(dtype).eps
    bound = 16 * eps * float(np.abs(x.astype(float) * y).sum()) + 1e-300
    assert abs(kernels.vector_product(x, y, 0) - float(exact)) <= bound
    out = np.empty_like(x)
    kernels.add_multiple(x, -0.3, y, out, 0)
    np.testing.assert_allclose(out, x + dtype(-0.3) * y, rtol=0, atol=4 * eps * np.abs(x).max(initial=1))
    kernels.add_multiple(x, -0.3, y, y, 0)
    assert np.array_equal(out, y)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_conjugate_gradients(size, dtype):
    direction, product, solution, residual = vectors(4, size, dtype)
    expected = solution + dtype(0.7) * direction, residual - dtype(0.7) * product
    squares = kernels.conjugate_step(0.7, direction, product, solution, residual, 0)
    for found, right in zip((solution, residual), expected, strict=True):
        np.testing.assert_allclose(
            found, right, rtol=0, atol=8 * np.finfo(dtype).eps * (1 + np.abs(right).max(initial=0))
        )
    assert squares == pytest.approx(
        float(residual.astype(float) @ residual), rel=1e-6 if dtype == np.float32 else 1e-14
    )


def two_loops(pairs, grad):
    """Nocedal & Wright 2006, algorithm 7.4, as it stands there."""
    q, alphas = grad.astype(np.longdouble), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - (y @ q) / (s @ y))
    return -q


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 15, 40, BLOCK + 100])
def test_the_memory_tells_what_the_recursion_does(size, dtype):
    """Of a quadratic function, longer than the memory is deep."""
    most, curvature = 3, np.linspace(0.5, 2, size)
    rows = np.empty((2 * most, size), dtype)
    products, by_grad = np.zeros((2 * most, 2 * most)), np.zeros(2 * most)
    (x,), pairs, place, n_pairs = vectors(1, size, dtype), [], 0, 0
    grad = (curvature * x).astype(dtype)
    for step in (0.5, 1.0, 0.7, 1.0, 0.9, 1.0):
        newest = (place - 1) % most
        slope, first = kernels.lbfgs_direction(rows, newest, n_pairs, grad, products, by_grad, place, 0)
        assert first == pytest.approx(1.0 if n_pairs else min(1.0, 1 / np.linalg.norm(grad.astype(float))), rel=1e-5)
        direction, expected = rows[place].copy(), two_loops(pairs, grad)
        tolerance = 200 * np.finfo(dtype).eps * np.abs(expected).max()
        np.testing.assert_allclose(direction, expected.astype(dtype), rtol=0, atol=tolerance)
        assert slope == pytest.approx(float(direction.astype(float) @ grad), rel=1e-5)
        x = (x + dtype(step) * direction).astype(dtype)
        before, rows[most + place] = grad.copy(), (curvature * x).astype(dtype)
        after, n_pairs = rows[most + place].copy(), min(n_pairs + 1, most)
        kernels.remember_pair(rows, place, n_pairs, step, grad, products, by_grad, 0)
        assert np.array_equal(grad, after)
        s, y = dtype(step) * direction, after - before
        assert np.array_equal(rows[place], s)
        assert np.array_equal(rows[most + place], y)
        pairs = [*pairs, (s.astype(np.longdouble), y.astype(np.longdouble))][-most:]
        place = (place + 1) % most
        if size == 1:  # one step more would be there
            break


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_pairs", [0, 2, 3])
@pytest.mark.parametrize(("n_classes", "n_features"), [(1, 1), (3, 5), (2, BLOCK)])
def test_the_memory_moves_to_other_coordinates(n_classes, n_features, n_pairs, dtype):
    """Of (C, D) weights and C biases."""
    most, size = 3, n_classes * (n_features + 1)
    rows, grad = np.array(vectors(2 * most, size, dtype)), vectors(1, size, dtype)[0]
    ratio, ridge = rng(7).uniform(0.1, 10, n_features), rng(8).uniform(-0.1, 2, n_features)
    by_weight = [np.append(np.tile(some, n_classes), np.full(n_classes, end)) for some, end in ((ratio, 1), (ridge, 0))]
    steps = (rows[:most] * by_weight[0]).astype(dtype)
    changes = rows[most:] / by_weight[0] + by_weight[1] * steps
    filled = [i for i in range(2 * most) if i % most < n_pairs]
    expected, others = np.vstack([steps, changes.astype(dtype)])[filled], np.delete(rows, filled, axis=0)
    products, by_grad = np.zeros((2 * most, 2 * most)), np.zeros(2 * most)
    kernels.move_memory(rows, n_pairs, ratio, ridge, grad, products, by_grad, 0)
    np.testing.assert_allclose(rows[filled], expected, rtol=8 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)
    assert np.array_equal(np.delete(rows, filled, axis=0), others)
    exact, with_grad = rows[filled].astype(float), np.vstack([rows[filled], grad]).astype(float)
    bound = 16 * np.finfo(dtype).eps * (np.abs(exact) @ np.abs(with_grad).T)
    found = np.column_stack([products[np.ix_(filled, filled)], by_grad[filled]])
    wanted = exact @ with_grad.T
    wanted[:n_pairs, :n_pairs] = 0  # of two steps nobody asks
    assert (np.abs(found - wanted) <= bound).all()


@pytest.mark.skipif(not JIT, reason="Python has one thread")
@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_do_not_change_a_bit(dtype):
    size, found = 9 * BLOCK + 5, []
    for n in (1, 2, 3):
        with fs.num_threads(n):
            x, y, z, w, *rows = vectors(10, size, dtype)
            memory, products, by_grad = np.array(rows), np.zeros((6, 6)), np.zeros(6)
            results = [run(kernels.vector_product, size, x, y)]
            results.append(run(kernels.conjugate_step, size, 0.3, x, y, z, w))
            run(kernels.add_multiple, size, x, 0.3, y, y)
            for k in range(3):
                run(kernels.remember_pair, size, memory, k, k + 1, 0.5, x, products, by_grad)
            results += run(kernels.lbfgs_direction, size, memory, 2, 3, x, products, by_grad, 0)
            by_feature = np.abs(vectors(2, size // 2 - 1, np.float64)) + 0.1
            run(kernels.move_memory, size, memory, 3, *by_feature, x, products, by_grad)
            found.append(np.concatenate([results, x, y, z, w, memory.ravel(), products.ravel(), by_grad]))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
