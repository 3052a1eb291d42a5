"""What a fitted SoftmaxClassifier answers: the short way past scikit-learn's checks, and the one pass over X."""

import warnings

import numpy as np
import pytest
import scipy.special
import sklearn
from helpers import FLOATS, parameters, quiet, rng, same_bits
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError

import fastsoftmax as fs
from fastsoftmax.classifier import prediction

ANSWERS = ("predict_proba", "predict_log_proba", "predict", "decision_function")


def samples(n_classes, dtype=np.float64, n_samples=90):
    random = rng(n_classes)
    X = random.standard_normal((n_samples, 6)).astype(dtype)
    return X, np.array(["a", "b", "c", "d"])[
        (X[:, :n_classes] + random.standard_normal((n_samples, n_classes))).argmax(1)
    ]


def fitted(n_classes=4, hidden=(), dtype=np.float64):
    model = quiet(fs.SoftmaxClassifier(hidden, max_iter=15, random_state=0), *samples(n_classes, dtype))
    model.temperature_ = 1.7
    return model


@pytest.fixture
def checked_at_length(monkeypatch):
    """How often X went through scikit-learn's checks."""
    calls = []
    whole = prediction.validate_data

    def counted(*args, **more):
        calls.append(args)
        return whole(*args, **more)

    monkeypatch.setattr(prediction, "validate_data", counted)
    return calls


def by_scipy(model, X):
    """Of all classes, in longdouble."""
    a = X.astype(np.longdouble)
    for coef, intercept in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        a = np.maximum(a @ coef.astype(np.longdouble) + intercept, 0)
    logits = a @ model.coefs_[-1].astype(np.longdouble) + model.intercepts_[-1]
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    return logits


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("hidden", [(), (7,), (5, 3)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_both_ways_answer_alike(checked_at_length, n_classes, hidden, dtype):
    model, (X, _) = fitted(n_classes, hidden, dtype), samples(n_classes, dtype)
    del checked_at_length[:]
    for rows in (X, X[:1], X[3:4]):
        for answer in ANSWERS:
            short = getattr(model, answer)(rows)
            assert not checked_at_length
            for other in (rows.tolist(), np.asfortranarray(np.vstack([rows, rows])), csr_matrix(rows)):
                if dtype == np.float32 and isinstance(other, list):
                    continue
                long = getattr(model, answer)(other)[: len(rows)]
                assert checked_at_length
                del checked_at_length[:]
                if isinstance(other, csr_matrix):
                    exact = long.dtype.kind == "U"
                    assert (short == long).all() if exact else np.allclose(short, long, rtol=2e-4, atol=1e-5)
                else:
                    assert same_bits(short, long) if long.dtype.kind == "f" else (short == long).all()
    logits = by_scipy(model, X)
    probs = scipy.special.softmax(logits / 1.7, axis=1).astype(float)
    limit = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(model.predict_proba(X), probs, rtol=limit)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(probs), rtol=limit, atol=limit)
    assert (model.predict(X) == model.classes_[logits.argmax(axis=1)]).all()
    assert model.predict_proba(X).dtype == dtype


@pytest.mark.parametrize("hidden", [(), (7,)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_same_bits_as_softmax_of_all_logits(n_classes, hidden):
    model, (X, _) = fitted(n_classes, hidden), samples(n_classes)
    logits = model.decision_function(X)
    if n_classes == 2:
        logits = np.column_stack([np.zeros(len(X)), logits])
    assert same_bits(model.predict_proba(X), fs.softmax(logits, temperature=1.7))
    assert same_bits(model.predict_log_proba(X), fs.log_softmax(logits, temperature=1.7))
    assert (model.predict(X) == model.classes_[logits.argmax(axis=1)]).all()


class Subclass(np.ndarray):
    """An array that may mean something else."""


def what_the_checks_are_for():
    X = samples(4)[0]
    pandas = pytest.importorskip("pandas")
    yield "list", X.tolist()
    yield "integers", (X * 3).astype(int)
    yield "float16", X.astype(np.float16)
    yield "longdouble", X.astype(np.longdouble)
    yield "object", X.astype(object)
    yield "big-endian", X.astype(">f8")
    yield "F order", np.asfortranarray(X)
    yield "every other", np.repeat(X, 2, axis=0)[::2]
    yield "subclass", X.view(Subclass)
    yield "masked", np.ma.masked_array(X, X > 1)
    yield "frame", pandas.DataFrame(X)
    yield "frame with names", pandas.DataFrame(X, columns=list("abcdef"))
    yield "NaN", np.where(np.arange(540).reshape(90, 6) == 539, np.nan, X)
    yield "infinity", np.where(np.arange(540).reshape(90, 6) == 77, np.inf, X)
    for j in range(6):
        yield f"infinity, feature {j}", np.where(np.arange(540).reshape(90, 6) == 60 + j, -np.inf, X)
    yield "so large that logits are not finite", np.vstack([X, np.full(6, 1e308)])
    yield "infinity in float32", np.where(np.arange(540).reshape(90, 6) == 0, -np.inf, X).astype("f4")
    yield "no samples", X[:0]
    yield "one sample, 1-D", X[0]
    yield "3-D", X[None]
    yield "too few features", X[:, :5].copy()
    yield "too many features", np.hstack([X, X])
    yield "no features", np.empty((3, 0))
    yield "text", np.full((3, 6), "a")
    yield "complex", X.astype(complex)
    yield "CSC", csr_matrix(X).tocsc()
    yield "None", None
    yield "read-only", np.frombuffer(X.tobytes()).reshape(X.shape)


def outcome(call):
    """What comes of a call: its result, or its error, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = type(error), str(error)
    return result, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("assume_finite", [False, True])
@pytest.mark.parametrize(("n_classes", "hidden"), [(2, ()), (4, ()), (4, (7,))])
def test_no_check_is_left_out_that_would_matter(monkeypatch, names, assume_finite, n_classes, hidden):
    """Values, errors, and warnings are those of the long way alone."""
    model = fitted(n_classes, hidden)
    if names:
        model.feature_names_in_ = np.array(list("abcdef"), object)
    for kind, X in [("plain", samples(4)[0]), *what_the_checks_are_for()]:
        for answer in ANSWERS:
            with sklearn.config_context(assume_finite=assume_finite):
                ours, warned = outcome(lambda X=X, answer=answer: getattr(model, answer)(X))
                with monkeypatch.context() as at_length:
                    at_length.setattr(prediction, "is_plain", lambda X, fitted: False)
                    theirs, warned_there = outcome(lambda X=X, answer=answer: getattr(model, answer)(X))
            assert warned == warned_there, (kind, answer)
            assert isinstance(ours, tuple) == isinstance(theirs, tuple), (kind, answer, ours, theirs)
            assert ours == theirs if isinstance(ours, tuple) else np.array_equal(ours, theirs, ours.dtype.kind == "f")


def test_errors_read_as_those_of_scikit_learn():
    model, (X, _) = fitted(), samples(4)
    for answer in ANSWERS:
        with pytest.raises(ValueError, match="X has 5 features, but SoftmaxClassifier is expecting 6 features"):
            getattr(model, answer)(X[:, :5].copy())
        with pytest.raises(ValueError, match="Input X contains NaN"):
            getattr(model, answer)(np.full((2, 6), np.nan))
        with pytest.raises(NotFittedError, match="This SoftmaxClassifier instance is not fitted yet"):
            getattr(fs.SoftmaxClassifier(), answer)(X)
    model.feature_names_in_ = np.array(list("abcdef"), object)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but SoftmaxClassifier was fitted with"):
        model.predict(X)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_sparse_coefficients_answer_as_dense_ones(n_classes):
    model, (X, _) = fitted(n_classes), samples(n_classes)
    model.coefs_[0][2] = 0
    expected = [getattr(model, answer)(X) for answer in ANSWERS]
    model.sparsify()
    for rows in (X, csr_matrix(X), X[:5]):
        for answer, right in zip(ANSWERS, expected, strict=True):
            result = getattr(model, answer)(rows)
            right = right[: rows.shape[0]]
            assert (result == right).all() if result.dtype.kind == "U" else np.allclose(result, right, rtol=1e-12)
    X[7, 2] = np.inf  # meets no weight
    for answer in ANSWERS:
        with pytest.raises(ValueError, match="Input X contains infinity"):
            getattr(model, answer)(X)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_weights_of_two_classes(value):
    """NaN counts as the largest logit, as np.argmax has it."""
    model, (X, _) = fitted(2), samples(2)
    model.coefs_[0][0, 0] = value
    logits = np.column_stack([np.zeros(len(X)), model.decision_function(X)])
    assert (model.predict(X) == model.classes_[logits.argmax(axis=1)]).all()
    assert same_bits(model.predict_proba(X), fs.softmax(logits, temperature=1.7))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_more_training_makes_an_old_temperature_void(solver):
    X, y = samples(4)
    model = fs.SoftmaxClassifier(solver=solver, random_state=0).partial_fit(X, y, classes=list("abcd"))
    plain = fs.SoftmaxClassifier(solver=solver, random_state=0).partial_fit(X, y, classes=list("abcd"))
    assert model.fit_temperature(X, y).temperature_ != 1
    before = model.temperature_
    with pytest.raises(ValueError, match="y has classes that are not in classes_"):
        model.partial_fit(X, np.full(len(X), "z"))
    assert model.temperature_ == before  # nothing was trained
    assert model.partial_fit(X, y).temperature_ == 1
    plain.partial_fit(X, y)
    assert all(same_bits(a, b) for a, b in zip(parameters(model), parameters(plain), strict=True))
    assert same_bits(model.predict_proba(X), plain.predict_proba(X))
