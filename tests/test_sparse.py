"""CSR matrices as X: what the dense ones give, never made dense, whatever rows and indices such a matrix may have."""

import numpy as np
import pytest
import scipy.sparse
from helpers import JIT, all_same_bits, rng, tolerance

import fastsoftmax as fs
from fastsoftmax._gate.samples import Samples

LOSSES = ("linear_cross_entropy", "linear_squared_error")
SIZES = [(7, 5, 1), (30, 40, 3), (101, 17, 16), (64, 9, 20), (50, 70, 33), (300, 33, 100), (1, 1, 2), (3, 4, 5)]
KINDS = (scipy.sparse.csr_array, scipy.sparse.csr_matrix)
pytestmark = pytest.mark.skipif(not JIT, reason="the loops over sparse rows are slow as Python")


def sparse(shape, dtype=np.float64, density=0.2, kind=scipy.sparse.csr_array):
    """A random CSR matrix with an empty row and an empty column where there is room for them."""
    random = rng(shape[0] + 10 * shape[1])
    dense = random.standard_normal(shape) * (random.random(shape) < density) * 4
    dense[1:2] = dense[:, 2:3] = 0
    return kind(dense.astype(dtype))


def problem(size, dtype=np.float64, kind=scipy.sparse.csr_array, density=0.2):
    """X, what everything() takes after it, and labels and distributions."""
    random = rng(sum(size))
    tangents = [(random.standard_normal(shape) / 2).astype(dtype) for shape in (size[:0:-1], size[2:]) * 2]
    targets = (random.integers(0, size[2], size[0]), random.dirichlet(np.ones(size[2]), size[0]).astype(dtype))
    return sparse(size[:2], dtype, density, kind), tangents, targets


def everything(loss, X, layer, targets, **options):
    """The loss, the gradients, both halves of H v, what the dense layer alone gives, and the losses by themselves."""
    weight, bias, weight_tangent, bias_tangent = layer
    value, grads = getattr(fs, f"{loss}_value_and_grad")(X, weight, bias, targets, with_grad_X=True, **options)
    tangents = (weight_tangent, None if bias is None else bias_tangent)
    *hvp, _ = getattr(fs, f"{loss}_hvp")(X, weight, bias, targets, *tangents, **options)
    logits = fs.dense(X, weight, bias)
    losses = getattr(fs, loss)(X, weight, bias, targets, **{**options, "reduction": "none"})
    return [value, *grads, *hvp, logits, *fs.dense_vjp(X, weight, logits), losses]


def assert_close(results, expected, dtype, size):
    for ours, theirs in zip(results, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert type(ours) is type(theirs)
            assert ours.dtype == theirs.dtype == dtype
            largest = np.abs(theirs).max(initial=1 / size[0])
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * tolerance(dtype, max(size)) * largest)


def rebuilt(X, data=None, indices=None, indptr=None):
    """A CSR matrix of these very arrays, which SciPy has not looked into."""
    copy = X.copy()
    copy.data, copy.indices, copy.indptr = (
        new if new is not None else old
        for new, old in ((data, X.data), (indices, X.indices), (indptr, X.indptr))
    )  # fmt: skip
    return copy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_sparse_equals_dense(loss, dtype):
    for turn, size in enumerate(SIZES):
        X, layer, both = problem(size, dtype, KINDS[turn % 2], density=(0.05, 0.3, 1.0)[turn % 3])
        class_weight = rng().uniform(0.5, 2, size[2]) if turn % 3 == 1 else None
        layer[1] = layer[1] if turn % 3 else None
        for targets in both:
            options = {"class_weight": class_weight, "label_smoothing": 0.2 * (turn % 2)}
            results, expected = (everything(loss, x, layer, targets, **options) for x in (X, X.toarray()))
            assert_close(results, expected, dtype, size)


@pytest.mark.parametrize("size", [(6000, 50, 100), (40, 5000, 60), (9, 70_000, 3)])
def test_many_rows_and_many_columns_equal_dense(size):
    """More logits than a block has; so many features that their gradients are worked on a range at a time."""
    X, layer, (labels, _) = problem(size, density=0.02)
    for loss in LOSSES:
        assert_close(everything(loss, X, layer, labels), everything(loss, X.toarray(), layer, labels), np.float64, size)


def test_the_reference_takes_csr_too():
    X, layer, targets = problem((30, 40, 3))
    for loss in LOSSES:
        for answers in targets:
            results = everything(loss, X, layer, answers)[:6]
            weight, bias, *tangents = layer
            value_and_grad, hvp = (getattr(fs.reference, f"{loss}_{kind}") for kind in ("value_and_grad", "hvp"))
            value, grads = value_and_grad(X, weight, bias, answers, with_grad_X=True)
            expected = [value, *grads, *hvp(X, weight, bias, answers, *tangents)[:2]]
            assert_close(results, expected, np.float64, (30, 40, 3))


@pytest.mark.parametrize("shape", [(0, 4), (5, 0), (0, 0), (5, 4)])
def test_empty_matrices(shape):
    X, (n, d) = scipy.sparse.csr_array(shape), shape
    layer, labels = [np.ones((3, d)), np.arange(3.0), np.ones((3, d)), np.ones(3)], np.arange(n) % 3
    for loss in LOSSES:
        results = everything(loss, X, layer, labels, reduction="sum")
        expected = everything(loss, X.toarray(), layer, labels, reduction="sum")
        assert_close(results, expected, np.float64, (max(1, n), d, 3))


@pytest.mark.parametrize("loss", LOSSES)
def test_any_csr_of_the_same_numbers_gives_the_same_and_is_not_written(loss):
    X, layer, (labels, _) = problem((60, 30, 20), density=0.4)
    kept = X.copy()
    expected = everything(loss, X, layer, labels)
    backwards = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(X.indptr, X.indptr[1:], strict=False)])
    spare = np.r_[X.data, np.full(40, np.nan)], np.r_[X.indices, np.full(40, 2**31 - 1)].astype(np.int32)  # empty room
    locked = X.copy()
    for array in (locked.data, locked.indices, locked.indptr):
        array.flags.writeable = False
    others = {
        "int64 indices": rebuilt(X, None, X.indices.astype(np.int64), X.indptr.astype(np.int64)),
        "unsorted": rebuilt(X, X.data[backwards], X.indices[backwards]),
        "strided": rebuilt(X, np.repeat(X.data, 2)[::2], np.repeat(X.indices, 2)[::2], np.repeat(X.indptr, 2)[::2]),
        "big-endian": rebuilt(X, X.data.astype(">f8")),
        "spare": rebuilt(X, *spare),
        "read-only": locked,
        "matrix": scipy.sparse.csr_matrix(X),
    }
    for name, other in others.items():
        before = [array.copy() for array in (other.data, other.indices, other.indptr)]
        assert all_same_bits(everything(loss, other, layer, labels), expected), name
        assert all_same_bits((other.data, other.indices, other.indptr), before), name
    halves = rebuilt(X, np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr)  # each number in two parts
    assert all_same_bits(everything(loss, halves, layer, labels), expected)
    turned = np.concatenate(
        [k[:: 1 - 2 * (n % 2)] for n, k in enumerate(np.split(np.arange(2 * X.nnz), 2 * X.indptr[1:-1]))]
    )
    apart = rebuilt(halves, halves.data[turned], halves.indices[turned])  # every other row backwards
    assert all_same_bits(everything(loss, apart, layer, labels), expected)
    assert all_same_bits((X.data, X.indices, X.indptr), (kept.data, kept.indices, kept.indptr))


def test_dtypes_of_the_numbers():
    X, layer, (labels, _) = problem((30, 40, 3))
    whole = rebuilt(X, np.round(X.data))
    expected = everything(LOSSES[0], whole, layer, labels)
    for dtype in (np.int64, np.int8, np.float32):
        assert all_same_bits(everything(LOSSES[0], whole.astype(dtype), layer, labels), expected)
    single = [array.astype(np.float32) for array in layer]
    assert all(a.dtype == np.float32 for a in everything(LOSSES[0], whole.astype(np.float32), single, labels))
    with pytest.raises(TypeError, match=r"X.* must hold real numbers"):
        fs.dense(X.astype(complex), layer[0])


@pytest.mark.parametrize("size", [(4001, 60, 33), (701, 3000, 100)])
@pytest.mark.parametrize("loss", LOSSES)
def test_results_do_not_depend_on_the_number_of_threads(loss, size):
    X, layer, (labels, _) = problem(size, np.float32)
    with fs.num_threads(1):
        expected = everything(loss, X, layer, labels)
    for n in (2, 3):
        with fs.num_threads(n):
            for _ in range(3):
                assert all_same_bits(everything(loss, X, layer, labels), expected)


def test_a_row_does_not_depend_on_the_rows_beside_it_not_even_on_nan():
    X, (weight, bias, *_), (labels, _) = problem((41, 30, 20), np.float32)
    call = fs.linear_cross_entropy_value_and_grad
    losses, grads = call(X, weight, bias, labels, reduction="none", with_grad_X=True)
    logits = fs.dense(X, weight, bias)
    for n in range(41):
        some, part = call(X[n:], weight, bias, labels[n:], reduction="none", with_grad_X=True)
        assert all_same_bits((some, part.X, fs.dense(X[n:], weight, bias)), (losses[n:], grads.X[n:], logits[n:]))
    n = int(np.diff(X.indptr).argmax())
    X.data[X.indptr[n]] = np.nan
    broken, part = call(X, weight, bias, labels, reduction="none", with_grad_X=True)
    assert np.isnan(broken[n])
    assert np.isnan(part.X[n]).all()
    assert all_same_bits(
        [np.delete(a, n, 0) for a in (broken, part.X)], [np.delete(a, n, 0) for a in (losses, grads.X)]
    )


@pytest.mark.parametrize("columns", [1, 2000])
def test_sums_over_many_samples_keep_their_digits(columns):
    """A full column, alone or among empty ones (as a column of ones is among words)."""
    n, cotangent = 100_000, np.full((100_000, 1), 0.1, np.float32)
    X = scipy.sparse.csr_array((np.ones(n, np.float32), np.zeros(n, np.int32), np.arange(n + 1)), shape=(n, columns))
    _, grad_weight, grad_bias = fs.dense_vjp(X, np.ones((1, columns), np.float32), cotangent, with_grad_X=False)
    assert grad_weight[0, 0] == pytest.approx(n * float(np.float32(0.1)), rel=2e-5)  # one by one: 1e-2
    assert grad_bias[0] == pytest.approx(n * float(np.float32(0.1)), rel=2e-5)
    assert not grad_weight[0, 1:].any()


def test_nothing_is_ever_made_dense(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("made dense")

    X, layer, (labels, _) = problem((30, 40, 3))
    for kind in KINDS:
        for name in ("toarray", "todense", "__array__"):
            monkeypatch.setattr(kind, name, refuse, raising=False)
        for loss in LOSSES:
            everything(loss, kind(X), layer, labels)
    wide = scipy.sparse.csr_array((np.ones(3), ([0, 5000, 99_999], [3, 4, 2_000_000])), shape=(100_000, 2_000_001))
    weight, labels = np.zeros((2, 2_000_001)), np.zeros(100_000, int)  # 1.6 TB if it were
    loss, grads = fs.linear_cross_entropy_value_and_grad(wide, weight, None, labels)
    assert loss == pytest.approx(np.log(2))
    assert np.argwhere(grads.weight[0]).ravel().tolist() == [3, 4, 2_000_000]


def test_hostile_csr_is_refused_and_nothing_is_written():
    X, (weight, bias, *tangents), (labels, _) = problem((30, 40, 3))
    assert X.indptr[2] > 0

    def changed(name, position, value, dtype=None):
        array = getattr(X, name).astype(dtype or getattr(X, name).dtype)
        array[position] = value
        return rebuilt(X, **{name: array})

    hostile = [changed("indices", 5, bad) for bad in (-1, 40, 2**31 - 1, -(2**31))]
    hostile += [changed("indices", 5, bad, np.int64) for bad in (2**32, 2**32 + 1, -(2**63), 2**63 - 1)]
    hostile += [changed("indptr", 3, bad) for bad in (-1, X.nnz + 1, 2**31 - 1)]
    hostile += [changed("indptr", 0, 1), changed("indptr", 0, -1), changed("indptr", -1, X.nnz + 1)]
    hostile += [changed("indptr", 3, bad, np.int64) for bad in (2**62, -(2**63), 2**63 - 1)]
    hostile.append(changed("indptr", [1, 2, 3], [2**62, -(2**63), -(2**62)], np.int64))  # differences that wrap around
    hostile += [rebuilt(X, X.data[:-1]), rebuilt(X, None, X.indices[:-1]), rebuilt(X, None, None, X.indptr[:-1])]
    out = fs.LinearGrads(np.full((3, 40), 7.0), np.full(3, 7.0), np.full((30, 40), 7.0))
    two = fs.LinearGrads(out.weight, out.bias, None)
    for bad in hostile:
        for call in (
            lambda X: fs.linear_cross_entropy(X, weight, bias, labels),
            lambda X: fs.linear_squared_error_value_and_grad(X, weight, bias, labels, with_grad_X=True, out=out),
            lambda X: fs.linear_cross_entropy_hvp(X, weight, bias, labels, *tangents, out=two),
            lambda X: fs.dense(X, weight, bias),
            lambda X: fs.dense_vjp(X, weight, np.ones((30, 3)), out=out),
        ):
            with pytest.raises(ValueError, match="X"):
                call(bad)
    assert all((array == 7).all() for array in out)


@pytest.mark.parametrize("kind", ["csc", "coo", "lil", "dok", "bsr", "dia"])
def test_other_formats_are_told_to_become_csr(kind):
    X, (weight, bias, *_), (labels, _) = problem((30, 40, 3))
    for other in (X.asformat(kind), scipy.sparse.csr_matrix(X).asformat(kind)):
        for call in (
            lambda X: fs.linear_cross_entropy(X, weight, bias, labels),
            lambda X: fs.dense(X, weight),
            lambda X: fs.dense_vjp(X, weight, np.ones((30, 3))),
        ):
            with pytest.raises((TypeError, ValueError), match=r"X .*\.tocsr\(\)"):
                call(other)


def test_shapes_that_do_not_fit():
    X, (weight, bias, *_), (labels, _) = problem((30, 40, 3))
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 41\).*got \(30, 40\)"):
        fs.linear_cross_entropy(X, np.ones((3, 41)), bias, labels)
    with pytest.raises(ValueError, match=r"targets must have shape \(30,\), got \(29,\)"):
        fs.linear_cross_entropy(X, weight, bias, labels[1:])
    with pytest.raises((TypeError, ValueError), match="weight"):
        fs.linear_cross_entropy(X, scipy.sparse.csr_array(weight), bias, labels)


def test_as_many_columns_as_int32_can_number():
    X = scipy.sparse.csr_array((1, 2**31 - 1))
    assert Samples(X).shape == (1, 2**31 - 1)


def test_as_many_columns_as_an_int32_can_name():
    X = scipy.sparse.csr_array((2, 3))
    X._shape = (2, 2**31 - 1)
    assert Samples(X).shape == (2, 2**31 - 1)
