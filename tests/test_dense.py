"""dense and dense_vjp: against exact sums and the reference, at every edge of the tiles and blocks."""

import itertools
import sys

import numpy as np
import pytest
from helpers import FLOATS, JIT, layouts, rng, same_bits, tolerance, uneven

import fastsoftmax as fs

# Rows go by blocks of 48, 96 or 240 and sums by groups of 480; tiles are 3 rows x 5 classes and 14 classes x 16 or 32
SIZES = list(itertools.product((0, 1, 5, 47, 48, 99), (0, 1, 7, 70), (0, 1, 2, 3, 4, 5, 9)))
SIZES += list(itertools.product((95, 97, 239, 241, 481, 965), (6, 33), (3, 14, 15, 41)))
SIZES += [(50, 1030, 6), (97, 513, 29), (30, 8, 300), (241, 300, 600)]  # longer than what is multiplied at once


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
        without = fs.dense_vjp(X, weight, cotangent, with_grad_X=False)
        assert without[0] is None
        assert all(same_bits(a, b) for a, b in zip(without[1:], grads[1:], strict=True))


def test_a_few_sizes_equal_the_reference():
    """What is left of the test above where kernels run as Python."""
    for size in [(0, 3, 2), (5, 0, 3), (4, 3, 0), (5, 7, 1), (7, 9, 15), (49, 5, 3)]:
        X, weight, bias, cotangent = problem(*size)
        np.testing.assert_allclose(fs.dense(X, weight, bias), fs.reference.dense(X, weight, bias), atol=1e-13)
        grads = fs.dense_vjp(X, weight, cotangent)
        for grad, expected in zip(grads, fs.reference.dense_vjp(X, weight, cotangent), strict=True):
            np.testing.assert_allclose(grad, expected, atol=1e-13)


def test_integers_are_exact():
    X, weight = np.arange(12).reshape(3, 4), np.arange(20).reshape(5, 4)
    assert same_bits(fs.dense(X, weight, np.arange(5)), (X @ weight.T + np.arange(5)).astype(float))


@pytest.mark.parametrize("size", [(11, 37, 6), (500, 70, 43), (100, 300, 20), (60, 1030, 15)] if JIT else [(11, 37, 6)])
def test_a_row_does_not_depend_on_the_rows_beside_it(size):
    X, weight, bias, cotangent = problem(*size, np.float32)
    logits, grad_X = fs.dense(X, weight, bias), fs.dense_vjp(X, weight, cotangent)[0]
    for n in range(0, size[0], 1 if size[0] < 200 else 7):
        for end in (n + 1, n + 2, n + 50, size[0]):
            some, part = fs.dense(X[n:end], weight, bias), fs.dense_vjp(X[n:end], weight, cotangent[n:end])[0]
            assert same_bits(some, logits[n:end])
            assert same_bits(part, grad_X[n:end])
            if not JIT:
                break
    X[2] = np.nan
    assert same_bits(np.delete(fs.dense(X, weight, bias), 2, 0), np.delete(logits, 2, 0))


@pytest.mark.skipif(not JIT, reason="without machine code one thread does all the work")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(1001, 65, 99), (7000, 300, 3), (97, 260, 1100), (3, 2000, 1500)])
def test_results_do_not_depend_on_the_number_of_threads(size, dtype):
    X, weight, bias, cotangent = problem(*size, dtype)
    with fs.num_threads(1):
        expected = [fs.dense(X, weight, bias), *fs.dense_vjp(X, weight, cotangent)]
    for n in (2, 3):
        with fs.num_threads(n):
            for _ in range(3):
                results = [fs.dense(X, weight, bias), *fs.dense_vjp(X, weight, cotangent)]
                assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("size", [(9, 7, 5), (1000, 1100, 3)] if JIT else [(9, 7, 5)])
def test_any_layout_gives_the_same_bits_and_is_not_written(size):
    arrays = problem(*size)
    X, weight, bias, cotangent = clean = [a.copy() for a in arrays]
    expected = [fs.dense(X, weight, bias), *fs.dense_vjp(X, weight, cotangent)]
    for i in (0, 1, 3):
        for layout, other in layouts(clean[i]):
            X, weight, bias, cotangent = (other if k == i else a for k, a in enumerate(clean))
            results = [fs.dense(X, weight, bias), *fs.dense_vjp(X, weight, cotangent)]
            assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True)), (i, layout)
            assert np.array_equal(other, clean[i])
    assert all(same_bits(a, b) for a, b in zip(arrays, clean, strict=True))


@pytest.mark.parametrize("columns", [1, 16])
def test_sums_over_many_samples_keep_their_digits(columns):
    X, cotangent = np.ones((100_000, columns), np.float32), np.full((100_000, 1), 0.1, np.float32)
    _, grad_weight, grad_bias = fs.dense_vjp(X, np.ones((1, columns), np.float32), cotangent)
    expected = pytest.approx(100_000 * float(np.float32(0.1)), rel=2e-5)  # one by one: 1e-2
    assert all(value == expected for value in (*grad_weight[0].tolist(), float(grad_bias[0])))


def test_out_may_be_any_array_of_the_right_shape():
    X, weight, _, _ = problem(6, 6, 6)  # more classes than are computed at once: the input must outlive its own row
    expected = fs.dense(X, weight)
    for out in (np.empty((6, 6)), np.empty((6, 6), order="F"), X.copy()):
        source = out if np.array_equal(out, X) else X
        assert fs.dense(source, weight, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_takes_the_gradients():
    X, weight, bias, cotangent = problem(7, 6, 5)
    grad_X, grad_weight, grad_bias = fs.dense_vjp(X, weight, cotangent)
    for order in "CF":
        out = fs.LinearGrads(np.full((5, 6), np.nan, order=order), np.empty(5), np.full((7, 6), np.nan, order=order))
        results = fs.dense_vjp(X, weight, cotangent, out=out)
        assert all(a is b for a, b in zip(results, (out.X, out.weight, out.bias), strict=True))
        assert all(same_bits(a, b) for a, b in zip(results, (grad_X, grad_weight, grad_bias), strict=True))
    results = fs.dense_vjp(X, weight, cotangent, with_grad_X=False, out=fs.LinearGrads(None, bias))
    assert results[2] is bias
    assert same_bits(bias, grad_bias)
    assert same_bits(results[1], grad_weight)
    assert results[0] is None
    fs.dense_vjp(X, weight, cotangent, out=fs.LinearGrads(weight, None, X))  # the inputs themselves
    assert same_bits(weight, grad_weight)
    assert same_bits(X, grad_X)


def test_what_does_not_fit():
    X, weight, bias, cotangent = problem(3, 4, 5)
    out = fs.LinearGrads(np.full((5, 4), 7.0), np.full(5, 7.0), np.full((3, 4), 7.0))
    for call, message in (
        (
            lambda: fs.dense(X[:, 1:], weight),
            r"X must have shape \(n_samples, 4\), because weight has shape \(5, 4\), got \(3, 3\)",
        ),
        (lambda: fs.dense(X[0], weight), r"X must have shape \(n_samples, (4|n_features)\).*, got \(4,\)"),
        (lambda: fs.dense(X, weight[0]), r"weight must have shape \(n_classes, n_features\), got \(4,\)"),
        (lambda: fs.dense(X, weight, bias[1:]), r"bias must have shape \(5,\), got \(4,\)"),
        (lambda: fs.dense_vjp(X, weight, cotangent.T, out=out), r"cotangent must have shape \(3, 5\), got \(5, 3\)"),
        (lambda: fs.dense(X, weight, out=np.empty((5, 3))), r"out must have shape \(3, 5\), got \(5, 3\)"),
        (lambda: fs.dense(X, weight, out=np.empty((3, 5), "f4")), r"out must have dtype float64, got float32"),
        (
            lambda: fs.dense_vjp(X, weight, cotangent, out=out._replace(X=np.empty((4, 4)))),
            r"out\.X must have shape \(3, 4\), got \(4, 4\)",
        ),
        (
            lambda: fs.dense_vjp(X, weight, cotangent, out=out._replace(bias=np.empty(4))),
            r"out\.bias must have shape \(5,\), got \(4,\)",
        ),
        (lambda: fs.dense_vjp(X, weight, cotangent, with_grad_X=False, out=out), r"out\.X must be None"),
        (
            lambda: fs.dense_vjp(out.weight[1:4], weight, cotangent, out=out),
            r"out\.weight must not partly overlap X",
        ),
        (lambda: fs.dense_vjp(X, weight, cotangent, out=out._replace(X=out.weight[:3])), r"out must not overlap"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="out must be a LinearGrads"):
        fs.dense_vjp(X, weight, cotangent, out=tuple(out))
    assert all((array == 7).all() for array in out)


def test_float16_is_rounded_once_at_the_end():
    X, weight, bias, cotangent = (a.astype(np.float16) for a in problem(5, 40, 3))
    wide = [a.astype(np.float32) for a in (X, weight, bias, cotangent)]
    expected = fs.dense(*wide[:3]).astype(np.float16)
    assert same_bits(fs.dense(X, weight, bias), expected)
    assert same_bits(fs.dense(X, weight, bias, out=np.empty((5, 3), np.float16)), expected)
    for grad, right in zip(fs.dense_vjp(X, weight, cotangent), fs.dense_vjp(wide[0], wide[1], wide[3]), strict=True):
        assert same_bits(grad, right.astype(np.float16))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 4), (300, 20, 10)])
def test_plain_arrays_go_a_short_way_to_the_same_bits(size, dtype, monkeypatch):
    n, d, c = size
    X, weight, cotangent = uneven((n, d), dtype), uneven((c, d), dtype, seed=1), uneven((n, c), dtype, seed=2)
    locked = weight.copy()
    locked.flags.writeable = False
    logits, grads = fs.dense(X, locked), fs.dense_vjp(X, locked, cotangent)
    monkeypatch.setattr(sys.modules["fastsoftmax.functional.dense"], "Layer", None)
    assert same_bits(fs.dense(X, weight), logits)
    found = fs.dense_vjp(X, weight, cotangent)
    without = fs.dense_vjp(X, weight, cotangent, with_grad_X=False)
    assert without[0] is None
    for here, there, expected in zip(found, (grads[0], *without[1:]), grads, strict=True):
        assert same_bits(here, expected)
        assert same_bits(there, expected)
    for not_plain in (cotangent[:-1], cotangent.tolist(), cotangent.astype(np.float16), cotangent[:, None]):
        with pytest.raises(TypeError):  # is for Layer, which finds words for what does not fit
            fs.dense_vjp(X, weight, not_plain)
    for option in ({"with_grad_X": 1}, {"out": fs.LinearGrads(None, None)}):
        with pytest.raises(TypeError):
            fs.dense_vjp(X, weight, cotangent, **option)
