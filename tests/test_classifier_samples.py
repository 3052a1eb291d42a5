"""X of a classifier before scikit-learn's validation: never written, and CSR matrices that are none are errors."""

import numpy as np
import pytest
from helpers import quiet, rng, same_bits, same_parameters
from scipy.sparse import csr_array

import fastsoftmax as fs
from fastsoftmax.classifier.samples import checked_samples


def of_numbers(X, dtype):
    """A CSR matrix of any dtype: SciPy makes none of float16 or of another byte order."""
    matrix = csr_array(X)
    matrix.data = matrix.data.astype(dtype)
    return matrix


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "coordinate-descent", "sgd"])
@pytest.mark.parametrize("dtype", ["i4", "i8", "f2", "f4", "f8", ">f4", ">f8"])
def test_a_csr_matrix_is_never_written(solver, dtype):
    """SciPy's conversion to another dtype sorts the caller's own arrays and adds up what is named twice."""
    indices, indptr = np.array([2, 0, 2, 1, 1, 2, 0]), np.array([0, 3, 5, 7])
    X = csr_array((3, 3))
    X.data, X.indices, X.indptr = np.arange(1, 8).astype(dtype), indices.copy(), indptr.copy()
    clean = csr_array((np.arange(1.0, 8), indices, indptr), shape=(3, 3)).toarray()
    model = quiet(fs.SoftmaxClassifier(solver=solver, max_iter=3, random_state=0), X, [0, 1, 0])
    probs = model.predict_proba(X)
    assert np.array_equal(X.indices, indices)
    assert np.array_equal(X.indptr, indptr)
    assert X.data.tobytes() == np.arange(1, 8).astype(dtype).tobytes()
    assert model.coef_.dtype == probs.dtype == (np.float32 if dtype[-2:] in ("f2", "f4") else np.float64)
    np.testing.assert_allclose(probs, model.predict_proba(clean), rtol=1e-5)


@pytest.mark.parametrize("name", ["fit", "partial_fit", "predict", "predict_proba", "fit_temperature", "score"])
@pytest.mark.parametrize("dtype", ["i4", "f8"])
@pytest.mark.parametrize(
    ("part", "at", "value"),
    [("indptr", 3, -1), ("indptr", 0, 1), ("indptr", 4, 2**30), ("indices", 2, 3), ("indices", 2, -1)],
)
def test_a_csr_matrix_that_is_none_is_an_error_before_scipy_writes_beyond_its_ends(name, dtype, part, at, value):
    y = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    model = fs.SoftmaxClassifier(solver="sgd", max_iter=1, random_state=0)
    model = quiet(model, np.ones((10, 3)), y) if name not in ("fit", "partial_fit") else model
    X = of_numbers(np.ones((10, 3)), dtype)
    getattr(X, part)[at] = value
    arguments = {"predict": [], "predict_proba": [], "partial_fit": [y, [0, 1]]}.get(name, [y])
    with pytest.raises(ValueError, match="X is not a CSR matrix"):
        getattr(model, name)(X, *arguments)


def test_floats_of_another_byte_order_are_those_of_their_clean_copy():
    X, y = rng().standard_normal((30, 4)).astype(">f4"), np.arange(30) % 3
    swapped, clean = (quiet(fs.SoftmaxClassifier(max_iter=5), A, y) for A in (X, X.astype("f4")))
    assert same_parameters(swapped, clean)
    assert swapped.coef_.dtype == np.float32
    assert same_bits(swapped.predict_proba(X), clean.predict_proba(X.astype("f4")))


def test_nan_in_the_spare_room_behind_the_elements_does_not_count():
    X = csr_array(np.eye(4))
    right = quiet(fs.SoftmaxClassifier(max_iter=5), X, [0, 1, 0, 1])
    X.data, X.indices = np.append(X.data, [np.nan, np.inf]), np.append(X.indices, [99, -1])
    model = quiet(fs.SoftmaxClassifier(max_iter=5), X, [0, 1, 0, 1])
    assert same_parameters(model, right)
    assert same_bits(model.predict_proba(X), right.predict_proba(np.eye(4)))


def test_weights_that_are_all_zero_are_told():
    with pytest.raises(ValueError, match=r"^(sample_weight must not be all zero|Sample weights .* non-zero number.)$"):
        fs.SoftmaxClassifier().fit(np.eye(3), [0, 1, 2], sample_weight=np.zeros(3))


@pytest.mark.parametrize(
    "X", [csr_array(np.eye(3)), csr_array(np.eye(3, dtype="f4")), np.eye(3), np.eye(3, dtype=int), [[1]]]
)
def test_what_scikit_learn_can_read_is_handed_on_as_it_is(X):
    assert checked_samples(X) is X


def test_what_is_copied_has_the_same_shape_and_no_spare_room():
    X = csr_array(([1.0, 2.0], [0, 1], [0, 1, 2]), shape=(2, 5))  # no element in the last columns
    for data, indices in (([1.0, 2.0, 9.0], [0, 1]), ([1.0, 2.0], [0, 1, 9]), ([1.0, 2.0, 9.0], [0, 1, 9])):
        X.data, X.indices = np.array(data), np.array(indices)
        checked = checked_samples(X)
        assert (checked.shape, checked.data.tolist(), checked.indices.tolist()) == ((2, 5), [1, 2], [0, 1])


@pytest.mark.parametrize(("given", "handed_on"), [("f2", "f4"), (">f2", "f4"), (">f4", "f4"), (">f8", "f8")])
def test_floats_are_native_and_of_at_least_32_bits(given, handed_on):
    for X in (np.eye(3).astype(given), of_numbers(np.eye(3), given)):
        assert checked_samples(X).dtype == np.dtype(handed_on)
