"""dense and dense_vjp: against exact sums and the reference, at every edge of the tiles and blocks."""

import itertools

import numpy as np
import pytest
from helpers import FLOATS, rng, same_bits, tolerance

import fastsoftmax as fs
from fastsoftmax.kernels.dense import BLOCK

SIZES = list(itertools.product((0, 1, 5, BLOCK - 1, BLOCK, 2 * BLOCK + 3), (0, 1, 7, 70), (0, 1, 2, 3, 4, 5, 9)))


def problem(n_samples, n_features, n_classes, dtype=np.float64):
    random = rng(n_samples + 10 * n_features + 100 * n_classes)
    shapes = ((n_samples, n_features), (n_classes, n_features), (n_classes,), (n_samples, n_classes))
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_size_equals_the_reference(dtype):
    for size in SIZES:
        X, weight, bias, cotangent = problem(*size, dtype)
        wide = [a.astype(np.float64) for a in (X, weight, bias, cotangent)]
        limit = 4 * tolerance(dtype, max(size)) * np.sqrt(max(size))
        logits = fs.dense(X, weight, bias)
        np.testing.assert_allclose(logits, fs.reference.dense(*wide[:3]), atol=limit)
        np.testing.assert_allclose(fs.dense(X, weight), fs.reference.dense(*wide[:2]), atol=limit)
        grads = fs.dense_vjp(X, weight, cotangent)
        for grad, expected in zip(grads, fs.reference.dense_vjp(wide[0], wide[1], wide[3]), strict=True):
            np.testing.assert_allclose(grad, expected, atol=limit)
            assert grad.dtype == logits.dtype == dtype
        assert fs.dense_vjp(X, weight, cotangent, with_grad_X=False)[0] is None


def test_integers_are_exact():
    X, weight = np.arange(12).reshape(3, 4), np.arange(20).reshape(5, 4)
    assert same_bits(fs.dense(X, weight, np.arange(5)), (X @ weight.T + np.arange(5)).astype(float))


def test_a_row_of_logits_does_not_depend_on_the_rows_beside_it():
    X, weight, bias, cotangent = problem(11, 37, 6, np.float32)
    logits, grad_X = fs.dense(X, weight, bias), fs.dense_vjp(X, weight, cotangent)[0]
    for n in range(11):
        assert same_bits(fs.dense(X[n:], weight, bias)[0], logits[n])
        assert same_bits(fs.dense_vjp(X[n : n + 1], weight, cotangent[n : n + 1])[0][0], grad_X[n])


def test_sums_over_many_samples_keep_their_digits():
    X, cotangent = np.ones((100_000, 1), np.float32), np.full((100_000, 1), 0.1, np.float32)
    _, grad_weight, grad_bias = fs.dense_vjp(X, np.ones((1, 1), np.float32), cotangent)
    assert grad_weight[0, 0] == pytest.approx(100_000 * float(np.float32(0.1)), rel=2e-5)  # one by one: 1e-2
    assert grad_bias[0] == pytest.approx(100_000 * float(np.float32(0.1)), rel=2e-5)


def test_out_may_be_any_array_of_the_right_shape():
    X, weight, _, _ = problem(6, 6, 6)  # more classes than are computed at once: the input must outlive its own row
    expected = fs.dense(X, weight)
    for out in (np.empty((6, 6)), np.empty((6, 6), order="F"), X.copy()):
        source = out if np.array_equal(out, X) else X
        assert fs.dense(source, weight, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_shapes_that_do_not_fit():
    X, weight, bias, cotangent = problem(3, 4, 5)
    for call, message in (
        (
            lambda: fs.dense(X[0], weight),
            r"X must have shape \(n_samples, 4\), because weight has shape \(5, 4\), got \(4,\)",
        ),
        (
            lambda: fs.dense(X[:, 1:], weight),
            r"X must have shape \(n_samples, 4\), because weight has shape \(5, 4\), got \(3, 3\)",
        ),
        (lambda: fs.dense(X, weight[0]), r"weight must have shape \(n_classes, n_features\), got \(4,\)"),
        (lambda: fs.dense(X, weight, bias[1:]), r"bias must have shape \(5,\), got \(4,\)"),
        (lambda: fs.dense_vjp(X, weight, cotangent.T), r"cotangent must have shape \(3, 5\), got \(5, 3\)"),
        (lambda: fs.dense(X, weight, out=np.empty((5, 3))), r"out must have shape \(3, 5\), got \(5, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
