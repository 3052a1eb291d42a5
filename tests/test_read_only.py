"""Arrays that cannot be written: as arguments, in a kernel's hands, and as a model's state that joblib has mapped."""

import copy

import joblib
import numba
import numpy as np
import pytest
from helpers import (
    FLOATS,
    JIT,
    flat,
    locked,
    parameters,
    public_calls,
    quiet,
    rng,
    same_bits,
    same_parameters,
)
from numba.core.errors import TypingError
from scipy.sparse import csr_array
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier

import fastsoftmax as fs
from fastsoftmax import kernels
from fastsoftmax.kernels import simd

needs_jit = pytest.mark.skipif(not JIT, reason="without the JIT NumPy itself refuses to write")
X = rng().standard_normal((300, 20))
Y = (X[:, :4] + rng(1).standard_normal((300, 4))).argmax(axis=1)
SOFT = np.exp(X[:, :4]) / np.exp(X[:, :4]).sum(axis=1, keepdims=True)


def locked_csr(array):
    matrix = csr_array(array)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    return matrix


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", public_calls())
def test_every_argument_may_be_read_only_and_stays_as_it_is(name, dtype):
    """Kernels take such memory for writable (else they would be compiled once more), so the types do not protect it."""
    function, arguments = public_calls(dtype)[name]
    given = {key: locked(value) for key, value in arguments.items()}
    for result, expected in zip(flat(function(**given)), flat(function(**arguments)), strict=True):
        assert same_bits(result, expected)
    assert all(same_bits(given[key], arguments[key]) for key in arguments)
    if "X" in arguments:
        sparse, expected = locked_csr(arguments["X"]), function(**{**arguments, "X": csr_array(arguments["X"])})
        for result, right in zip(flat(function(**{**given, "X": sparse})), flat(expected), strict=True):
            assert same_bits(result, right)
        assert same_bits(sparse.toarray(), arguments["X"])


@needs_jit
@pytest.mark.parametrize("name", public_calls())
def test_no_kernel_is_compiled_once_more_for_a_read_only_argument(name):
    function, arguments = public_calls()[name]
    function(**arguments)
    compiled = [d for d in vars(kernels).values() if isinstance(d, numba.core.dispatcher.Dispatcher)]
    before = {d: len(d.signatures) for d in compiled}
    function(**{key: locked(value) for key, value in arguments.items()})
    assert {d: len(d.signatures) for d in compiled} == before


@numba.njit
def _store(array, source):
    simd.store(simd.load(simd.pointer(source), 0), simd.pointer(array), 0)


@numba.njit
def _store_some(array, source):
    simd.store_masked(simd.load_masked(simd.pointer(source), 0, 2, 0), simd.pointer(array), 0, 2)


@numba.njit
def _stream(array, source):
    simd.store_nontemporal(simd.load(simd.pointer(source), 0), simd.pointer(array), 0)


@numba.njit
def _transpose(array, source):
    simd.transpose(simd.pointer(source), 0, 2, 2, 2, simd.pointer(array), 0, 2)


@numba.njit
def _outer(array, source):
    place = (simd.pointer(source), 0, 2)
    simd.outer_tile(place, 1, place, 2, 2, False, (simd.pointer(array), 0, 2), 0)


@numba.njit
def _dot(array, source):
    place, bias = (simd.pointer(source), 0, 2), simd.pointer(source)
    simd.dot_tile(place, 1, place, 1, 2, bias, 0, False, (simd.pointer(array), 0, 2))


@numba.njit
def _set_element(array, source):
    pointer = simd.pointer(array)
    pointer[0] = simd.pointer(source)[0]


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", [_store, _store_some, _stream, _transpose, _outer, _dot, _set_element])
def test_what_is_stored_needs_a_pointer_that_only_a_writable_array_gives(function, dtype):
    room = np.zeros(32, dtype)
    target = room[-room.ctypes.data % 64 // room.itemsize :][:16]  # streaming wants a multiple of 64
    function(target, locked(np.ones(16, dtype)))
    assert target[0] != 0
    with pytest.raises(TypingError):
        function(locked(target), np.ones(16, dtype))


@needs_jit
def test_a_kernel_refuses_to_fill_a_read_only_array():
    logits = np.zeros((4, 20))
    with pytest.raises(TypingError):
        kernels.softmax_rows(logits, None, locked(logits), 0)
    out = np.empty_like(logits)
    kernels.softmax_rows(locked(logits), None, out, 0)
    assert same_bits(out, np.full_like(logits, 1 / 20))


def test_read_only_arrays_in_users_own_compiled_code():
    @numba.njit
    def users_own(logits, labels):
        return fs.softmax(logits), fs.cross_entropy(logits, labels)

    logits, labels = rng().standard_normal((6, 20)), np.arange(6)
    probs, loss = users_own(locked(logits), locked(labels))
    assert same_bits(probs, fs.softmax(logits))
    assert loss == fs.cross_entropy(logits, labels)


def models():
    for solver in ("sgd", "adam"):
        for hidden in ((), (6,)):
            yield fs.SoftmaxClassifier(hidden, solver=solver, random_state=0, max_iter=3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_partial_fit_of_a_model_whose_state_is_mapped_read_only(dtype, tmp_path):
    """It goes on as if nothing had happened, and what the file holds stays as it is."""
    x = X.astype(dtype)
    for number, model in enumerate(models()):
        model.partial_fit(x, Y, classes=range(4))
        path = tmp_path / str(number)
        joblib.dump(model, path)
        written = path.read_bytes()
        mapped = joblib.load(path, mmap_mode="r")
        assert not mapped._descent.moment.flags.writeable
        for _ in range(2):
            model.partial_fit(x, Y)
            mapped.partial_fit(locked(x), locked(Y))
        assert same_parameters(model, mapped)
        assert path.read_bytes() == written
        mapped = joblib.load(path, mmap_mode="r")
        assert same_bits(mapped.predict_proba(x), joblib.load(path).predict_proba(x))
        quiet(mapped.set_params(warm_start=True), x, Y)
        assert same_parameters(mapped, quiet(joblib.load(path).set_params(warm_start=True), x, Y))
        mapped.fit_temperature(x, Y)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sgd", "adam"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("targets", [Y, SOFT, Y.astype(str)], ids=["labels", "soft", "text"])
def test_fit_on_read_only_data(solver, sparse, targets):
    model, weights = fs.SoftmaxClassifier(solver=solver, max_iter=5, random_state=0), rng().random(300)
    given, plain = (locked_csr(X), csr_array(X)) if sparse else (locked(X), X)
    expected = quiet(copy.copy(model), plain, targets, weights)
    assert same_parameters(quiet(model, given, locked(targets), locked(weights)), expected)
    assert same_bits(model.predict_proba(given), expected.predict_proba(plain))


def _fit(model, x, y):
    return parameters(quiet(model, x, y))


def _go_on(model, x, y):
    return parameters(model.partial_fit(x, y))


def test_in_joblibs_workers_whose_arguments_are_mapped_read_only():
    """Arrays above max_nbytes reach a worker as read-only memory maps, the model's own among them."""
    with joblib.Parallel(n_jobs=2, max_nbytes=100) as parallel:
        for model in models():
            expected = _fit(copy.copy(model), X, Y)
            for result in parallel(joblib.delayed(_fit)(model, X, Y) for _ in range(2)):
                assert all(same_bits(a, b) for a, b in zip(result, expected, strict=True))
            model.partial_fit(X, Y, classes=range(4))
            results = parallel(joblib.delayed(_go_on)(model, X, Y) for _ in range(2))
            expected = _go_on(model, X, Y)
            for result in results:
                assert all(same_bits(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_inside_scikit_learns_wrappers_with_several_jobs():
    for model in models():
        several = np.column_stack([Y, Y[::-1]])
        for wrapper, y in ((OneVsRestClassifier, Y), (MultiOutputClassifier, several)):
            one, two = wrapper(model, n_jobs=1), wrapper(model, n_jobs=2)
            with joblib.parallel_config("loky", max_nbytes=100):
                for fitted in (one, two):
                    fitted.fit(X, y)
                    for _ in range(2):
                        fitted.partial_fit(X, y)
            for a, b in zip(one.estimators_, two.estimators_, strict=True):
                assert same_parameters(a, b)
