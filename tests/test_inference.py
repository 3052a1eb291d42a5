"""linear_softmax and its kin: the softmax of a dense layer in one pass over X; and what a fitted classifier answers."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.special
from helpers import FLOATS, JIT, layouts, nasty_rows, rng, same_bits, tolerance, uneven
from scipy.sparse import csr_array, csr_matrix

import fastsoftmax as fs
from fastsoftmax._threads import run
from fastsoftmax.functional import _layer, inference

# Rows of up to three vectors and longer ones; several blocks and groups; features beyond what is multiplied at once;
# weight of more than 1 MiB, whose classes the threads share
SIZES = [(1, 64, 10), (7, 5, 1), (50, 33, 3), (49, 130, 26), (101, 7, 60), (1001, 20, 10), (9, 1100, 17), (2, 3, 2000)]
SIZES = [*SIZES, (70, 300, 1000)] if JIT else [(1, 9, 3), (7, 5, 1), (50, 4, 5)]
FUNCTIONS = {"linear_softmax": fs.softmax, "linear_log_softmax": fs.log_softmax}


def problem(n_samples, n_features, n_classes, dtype=np.float64):
    random = rng(n_samples + 10 * n_features + 100 * n_classes)
    X = random.standard_normal((n_samples, n_features)) * 10 ** random.uniform(-1, 0.7, (n_samples, 1))
    weight = random.standard_normal((n_classes, n_features)) / np.sqrt(max(1, n_features)) * 2
    return [a.astype(dtype) for a in (X, weight, random.standard_normal(n_classes))]


def kinds(X):
    """Dense, and CSR with numbers missing."""
    yield X
    yield csr_array(np.where(rng(5).random(X.shape) < 0.3, X, 0))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_the_same_bits_as_softmax_of_dense(size, dtype):
    X, weight, bias = problem(*size, dtype)
    for rows, temperature in itertools.product(kinds(X), (1.0, 0.3, 2.5)):
        logits = fs.dense(rows, weight, bias)
        for name, of_logits in FUNCTIONS.items():
            result = getattr(fs, name)(rows, weight, bias, temperature=temperature)
            assert same_bits(result, of_logits(logits, temperature=temperature)), (name, type(rows))
        assert np.array_equal(fs.linear_argmax(rows, weight, bias), logits.argmax(axis=1))
    assert same_bits(fs.linear_softmax(X, weight), fs.softmax(fs.dense(X, weight)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_against_scipy_in_longdouble_and_the_reference(size, dtype):
    X, weight, bias = problem(*size, dtype)
    for rows in kinds(X):
        wide = (rows.toarray() if hasattr(rows, "toarray") else rows).astype(np.longdouble)
        logits = wide @ weight.T.astype(np.longdouble) + bias
        limit = 4 * tolerance(dtype, size[1]) * float(max(1, np.abs(logits).max()))
        exact = scipy.special.log_softmax(logits / 1.5, axis=1)
        result = fs.linear_log_softmax(rows, weight, bias, temperature=1.5)
        np.testing.assert_allclose(result, exact.astype(float), atol=limit, rtol=limit)
        result = fs.linear_softmax(rows, weight, bias, temperature=1.5)
        np.testing.assert_allclose(result, np.exp(exact).astype(float), atol=limit, rtol=limit)
        double = [a.astype(np.float64) for a in (weight, bias)]
        for name in FUNCTIONS:
            expected = getattr(fs.reference, name)(rows.astype(np.float64), *double, temperature=0.7)
            np.testing.assert_allclose(
                getattr(fs, name)(rows, weight, bias, temperature=0.7), expected, atol=2 * limit, rtol=limit
            )
        sure = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2:][:, 0] > limit
        sure |= size[2] == 1
        labels = fs.linear_argmax(rows, weight, bias)
        assert (labels == logits.argmax(axis=1))[sure].all()
        assert (labels == fs.reference.linear_argmax(rows, weight, bias))[sure].all()


@pytest.mark.parametrize("n_classes", [3, 40, 100])
def test_largest_logits_as_argmax_finds_them(n_classes):
    """Ties, NaN and infinities anywhere in a row: the logits are X itself."""
    random = rng(n_classes)
    Z = random.integers(-2, 3, (200, n_classes)).astype(float)
    for value, share in ((np.nan, 0.3), (np.inf, 0.2), (-np.inf, 0.2)):
        spoiled = (random.random(len(Z)) < share)[:, None] & (random.random(Z.shape) < 2 / n_classes)
        Z[spoiled] = value
    Z[0], Z[1] = -np.inf, np.nan
    for dtype in FLOATS:
        bias = Z.astype(dtype)
        for row in bias[: 200 if JIT else 20]:
            one = np.zeros((2, 1), dtype)
            assert fs.linear_argmax(one, np.zeros((n_classes, 1), dtype), row).tolist() == [row.argmax()] * 2


@pytest.mark.parametrize("size", [(500, 20, 10), (300, 30, 60), (70, 300, 1000)] if JIT else [(50, 4, 5)])
def test_a_row_does_not_depend_on_the_rows_beside_it_nor_on_threads(size):
    for dtype in FLOATS:
        X, weight, bias = problem(*size, dtype)
        for rows in kinds(X):
            with fs.num_threads(1):
                whole = [getattr(fs, name)(rows, weight, bias) for name in FUNCTIONS]
                labels = fs.linear_argmax(rows, weight, bias)
            for n in (2, 3):
                with fs.num_threads(n):
                    again = [getattr(fs, name)(rows, weight, bias) for name in FUNCTIONS]
                    assert all(same_bits(a, b) for a, b in zip(again, whole, strict=True))
                    assert same_bits(fs.linear_argmax(rows, weight, bias), labels)
            for n, end in ((0, 1), (3, 5), (11, 60), (size[0] - 1, size[0])):
                for name, expected in zip(FUNCTIONS, whole, strict=True):
                    assert same_bits(getattr(fs, name)(rows[n:end], weight, bias), expected[n:end])


def test_a_bad_row_leaves_its_neighbours_alone():
    for dtype in FLOATS:
        X, weight, bias = problem(30, 6, 4, dtype)
        expected = fs.linear_softmax(X, weight, bias)
        X[7, 2], X[20] = np.nan, np.inf
        for name in FUNCTIONS:
            bad = np.isnan(getattr(fs, name)(X, weight, bias)).all(axis=1)
            assert np.flatnonzero(bad).tolist() == [7, 20]
        good = np.delete(np.arange(30), [7, 20])
        assert same_bits(fs.linear_softmax(X, weight, bias)[good], expected[good])


@pytest.mark.parametrize("name", nasty_rows())
def test_nasty_logits(name):
    row = np.array(nasty_rows()[name])
    for temperature in (1.0, 2.0):
        result = fs.linear_softmax([[0.0]], np.zeros((3, 1)), row, temperature=temperature)
        assert same_bits(result[0], fs.softmax(row, temperature=temperature))
        result = fs.linear_log_softmax([[0.0]], np.zeros((3, 1)), row, temperature=temperature)
        assert same_bits(result[0], fs.log_softmax(row, temperature=temperature))


@pytest.mark.parametrize("size", [(9, 7, 5), (1000, 1100, 3)] if JIT else [(9, 7, 5)])
def test_any_layout_gives_the_same_bits_and_is_not_written(size):
    clean = problem(*size)
    functions = [*(getattr(fs, name) for name in FUNCTIONS), fs.linear_argmax]
    expected = [function(*clean) for function in functions]
    for i in (0, 1):
        for layout, other in layouts(clean[i]):
            given = [other if k == i else a for k, a in enumerate(clean)]
            for function, right in zip(functions, expected, strict=True):
                assert same_bits(function(*given), right), (i, layout)
            assert np.array_equal(other, clean[i])


def test_dtypes():
    X, weight, bias = problem(6, 5, 4)
    assert fs.linear_softmax(X.astype("f4"), weight.astype("f4")).dtype == np.float32
    assert fs.linear_softmax(X.astype("f4"), weight.astype("f4"), bias).dtype == np.float64
    whole = np.arange(30).reshape(6, 5) % 7
    assert same_bits(fs.linear_softmax(whole, weight), fs.linear_softmax(whole.astype(float), weight))
    half = [a.astype(np.float16) for a in (X, weight, bias)]
    expected = fs.linear_softmax(*[a.astype(np.float32) for a in half]).astype(np.float16)
    assert same_bits(fs.linear_softmax(*half), expected)
    for bad in (X.astype(complex), X.astype(np.longdouble), np.full((6, 5), "a")):
        with pytest.raises(TypeError, match="X must hold real numbers"):
            fs.linear_softmax(bad, weight)
    with pytest.raises(TypeError, match="in CSR format, got csc"):
        fs.linear_softmax(csr_array(X).tocsc(), weight)


def test_empty():
    for name in FUNCTIONS:
        function = getattr(fs, name)
        assert function(np.empty((0, 3)), np.ones((4, 3))).shape == (0, 4)
        assert function(np.empty((3, 2)), np.ones((0, 2))).shape == (3, 0)
        assert same_bits(function(np.empty((2, 0)), np.ones((2, 0)))[0], getattr(fs, name[7:])([0.0, 0.0]))
    assert same_bits(fs.linear_softmax([[3.0], [-2.0]], [[5.0]]), np.ones((2, 1)))
    assert fs.linear_argmax(np.empty((0, 3)), np.ones((4, 3))).shape == (0,)
    with pytest.raises(ValueError, match="weight must have at least one row"):
        fs.linear_argmax(np.empty((3, 2)), np.ones((0, 2)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_out(name):
    function = getattr(fs, name)
    X, weight, _ = problem(6, 6, 6)
    expected = function(X, weight)
    for out in (np.empty((6, 6)), np.empty((6, 6), order="F"), X.copy(), weight.copy()):
        given = [out if np.array_equal(out, a) else a for a in (X, weight)]
        assert function(*given, out=out) is out
        assert np.array_equal(out, expected)
    half, shared = np.empty((6, 6), np.float16), np.zeros(48)
    function(X.astype(np.float16), weight.astype(np.float16), out=half)
    assert np.isfinite(half).all()
    read_only = np.empty((6, 6))
    read_only.flags.writeable = False
    for out, message in (
        (np.empty((6, 5)), r"out must have shape \(6, 6\), got \(6, 5\)"),
        (np.empty((6, 6), "f4"), "out must have dtype float64, got float32"),
        (read_only, "out must be writable"),
    ):
        with pytest.raises(ValueError, match=message):
            function(X, weight, out=out)
    with pytest.raises(ValueError, match="out must not partly overlap bias"):
        function(X, weight, shared[:6], out=shared[:36].reshape(6, 6))
    with pytest.raises(ValueError, match="out must not partly overlap X"):
        function(shared[:36].reshape(6, 6), weight, out=shared[6:42].reshape(6, 6))


def test_what_does_not_fit():
    X, weight, bias = problem(3, 4, 5)
    for function in (fs.linear_softmax, fs.linear_log_softmax, fs.linear_argmax):
        for given, message in (
            ((X[:, 1:], weight), r"X must have shape \(n_samples, 4\)"),
            ((X, weight[0]), r"weight must have shape \(n_classes, n_features\), got \(4,\)"),
            ((X, weight, bias[1:]), r"bias must have shape \(5,\), got \(4,\)"),
        ):
            with pytest.raises(ValueError, match=message):
                function(*given)
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="temperature must be positive and finite"):
            fs.linear_softmax(X, weight, bias, temperature=temperature)


@pytest.mark.skipif(not JIT, reason="Python's loops make temporaries")
@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_no_logits_of_all_rows_are_held(kind):
    X, weight, bias = problem(20_000, 4, 200)
    rows, all_logits = kind(X), 20_000 * 200 * 8
    out, fitted = np.empty((20_000, 200)), fs.SoftmaxClassifier()
    fitted.classes_, fitted.coefs_, fitted.intercepts_ = np.arange(200), [weight.T], [bias]
    fitted.n_outputs_, fitted.n_features_in_, fitted.temperature_ = 200, 4, 1.0
    for call in (
        lambda: fs.linear_softmax(rows, weight, bias, out=out),
        lambda: fs.linear_log_softmax(rows, weight, bias, out=out),
        lambda: fs.linear_argmax(rows, weight, bias),
        lambda: fitted.predict(rows),
    ):
        call()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < all_logits / 5


@pytest.mark.parametrize("dtype", FLOATS)
def test_plain_arrays_skip_the_gate(dtype, monkeypatch):
    X, weight, bias = uneven((6, 4), dtype) / 99, uneven((3, 4), dtype, seed=1) / 8, np.linspace(0, 1, 3, dtype=dtype)
    expected = {name: getattr(fs, name)(X.tolist(), weight, bias) for name in ("linear_softmax", "linear_log_softmax")}
    best = fs.linear_argmax(X.tolist(), weight, bias)
    monkeypatch.setattr(inference, "Layer", None)
    for name, right in expected.items():
        out = np.empty((6, 3), dtype)
        np.testing.assert_allclose(getattr(fs, name)(X, weight, bias), right, rtol=1e-4, atol=1e-5)
        assert getattr(fs, name)(X, weight, bias, out=out) is out
        assert same_bits(out, getattr(fs, name)(X, weight, bias))
    assert np.array_equal(fs.linear_argmax(X, weight, bias), best)


def test_labels_tell_whether_the_largest_logit_of_each_row_is_finite():
    weight, bias = np.eye(3), np.zeros(3)
    for X, right, finite in (
        ([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0]], [1, 0], True),
        ([[1.0, 2.0, 0.0], [np.nan, 0.0, 1.0]], [1, 0], False),
        ([[2.0, 1.0, 0.0], [0.0, np.nan, 1.0]], [0, 0], False),
        ([[np.inf, 2.0, 0.0], [0.0, 0.0, 1.0]], None, False),
        (np.empty((0, 3)), [], True),
    ):
        labels, is_finite = inference.labels_of_layer(np.array(X), weight, bias)
        assert is_finite is finite
        assert right is None or labels.tolist() == right


def unlike(array):
    """What a kernel does not take for this array."""
    yield array.tolist()
    yield array.astype(np.float32)
    yield array.astype(">f8")
    yield np.ma.array(array)
    yield np.repeat(array, 2, axis=0)[::2]
    yield array[..., :-1].copy()
    yield array[None]
    locked = array.copy()
    locked.flags.writeable = False
    yield locked


def test_the_short_way_is_for_plain_arrays_of_one_dtype_that_fit():
    arrays = [np.ones((2, 3)), np.ones((4, 3)), np.ones(4)]
    for dtype, plain in (("f4", True), ("f8", True), ("i8", False), ("f2", False), (">f4", False)):
        assert _layer.are_plain(*[a.astype(dtype) for a in arrays]) is plain
    assert _layer.are_plain(np.ones((1, 1)), np.ones((1, 1)), np.ones(1))
    assert _layer.are_plain(*arrays[:2], None)
    assert not _layer.are_plain(np.ones((0, 3)), *arrays[1:])
    assert not _layer.are_plain(arrays[0], np.ones((0, 3)), np.ones(0))
    for k, array in enumerate(arrays):
        for odd in unlike(array):
            assert not _layer.are_plain(*arrays[:k], odd, *arrays[k + 1 :])
    assert _layer.can_take(np.empty((2, 4)), *arrays)
    assert _layer.can_take(np.empty((2, 4)), *arrays[:2], None)
    memory = np.ones(20)
    for out in (*unlike(np.empty((2, 4))), np.empty((3, 4))):
        assert not _layer.can_take(out, *arrays)
    for k, array in enumerate(arrays):
        shared = memory[7 : 7 + array.size].reshape(array.shape)
        assert not _layer.can_take(memory[:8].reshape(2, 4), *arrays[:k], shared, *arrays[k + 1 :])


def test_work_is_told_in_elements_of_a_row(monkeypatch):
    """It decides from which size on threads help: eight products, or eight looks, are worth one element of softmax."""
    told = []
    monkeypatch.setattr(
        inference, "run", lambda kernel, work, *arguments: told.append(work) or run(kernel, work, *arguments)
    )
    X, weight, bias = problem(5, 8, 3)
    rows = csr_array(np.eye(5, 8))
    for given, products in ((X, 15), (X.tolist(), 15), (rows, 1)):
        fs.linear_argmax(given, weight, bias)
        fs.linear_softmax(given, weight, bias)
        assert told == [products, products + 15]
        told.clear()
    inference.is_finite(X)
    assert told == [5]
