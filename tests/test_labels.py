"""y in every form that people have it, and class weights by the labels as they are."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sparse
from helpers import parameters, quiet, rng, same_bits

import fastsoftmax as fs

X = rng().standard_normal((60, 3))
Y = np.array([0, 1] * 30)


def fit(y, **more):
    return fs.SoftmaxClassifier(**more).fit(X, y)


@pytest.mark.parametrize("kind", [str, object, int, float, bool])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_class_weights_by_label(kind, loss):
    y = Y.astype(str).astype(object) if kind is object else Y.astype(kind)
    zero, one = np.unique(y)
    expected = fs.SoftmaxClassifier(loss=loss).fit(X, Y, np.where(Y == 1, 4.0, 0.5))
    for keys in ((zero, one), np.unique(y).tolist()):
        model = fit(y, loss=loss, class_weight=dict(zip(keys, (0.5, 4.0), strict=True)))
        assert all(np.allclose(a, b, rtol=1e-10) for a, b in zip(parameters(model), parameters(expected), strict=True))
    alone = fit(y, loss=loss, class_weight={one: 4.0})  # others weigh 1
    assert same_bits(alone.coef_, fit(y, loss=loss, class_weight={zero: 1.0, one: 4.0}).coef_)


@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (np.array(["1", "01"])[Y], {1: 4}),
        (np.array(["1", "2"])[Y], {1: 1, 2: 4}),
        (np.array(["1", "2"])[Y], {"1": 1, 2: 4}),
        (Y, {"0": 1, "1": 4}),
        (np.array([1.5, 2.5], object)[Y].astype(str), {1.5: 1}),
    ],
)
def test_a_key_of_another_type_is_another_label(y, class_weight):
    with pytest.raises(ValueError, match=r"class_weight has .*, which is none of the classes"):
        fit(y, class_weight=class_weight)


def test_class_weights_that_cannot_be_used():
    for bad in ({0: -1, 1: 1}, {0: np.inf}, {0: np.nan}):
        with pytest.raises(ValueError, match="class_weight must hold finite weights of at least 0"):
            fit(Y, class_weight=bad)
    for bad in ("heavy", "4", None, [1]):
        with pytest.raises(TypeError, match="class_weight must hold numbers"):
            fit(Y, class_weight={0: bad})
    fit(Y, class_weight={0: 1, 1: 2, 7: 3})  # of a class that does not come, as long as no other lacks one
    stochastic = fs.SoftmaxClassifier(solver="sgd", class_weight={"a": 2.0, "b": 1.0})
    stochastic.partial_fit(X, np.array(["a", "b"])[Y], classes=["a", "b"])


def test_class_weights_are_real_numbers_of_any_type():
    expected = fit(Y, class_weight={0: 0.5, 1: 4.0})
    for weights in ((Fraction(1, 2), 4), (np.float32(0.5), np.int8(4)), (np.float16(0.5), np.uint64(4))):
        assert same_bits(fit(Y, class_weight=dict(enumerate(weights))).coef_, expected.coef_)


SPARSE = [sparse.csr_array, sparse.csr_matrix, sparse.coo_array, sparse.csc_array]


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("y", [Y[:, None], np.eye(2)[Y]], ids=["labels", "soft"])
def test_a_sparse_y_is_called_so(kind, y):
    model = fit(Y)
    going_on = fs.SoftmaxClassifier(solver="sgd")
    for call in (
        lambda: fs.SoftmaxClassifier().fit(X, kind(y)),
        lambda: model.score(X, kind(y)),
        lambda: model.fit_temperature(X, kind(y)),
        lambda: going_on.partial_fit(X, kind(y), classes=[0, 1]),
    ):
        with pytest.raises(TypeError, match=r"y must be dense, got a sparse \w+: hand in y\.toarray\(\)"):
            call()


@pytest.mark.parametrize("kind", ["Int64", "Int8", "boolean", "Float64", "category", "string", "UInt32"])
def test_labels_from_pandas_are_scored_as_they_are_fitted(kind):
    series = pd.Series(Y.astype(str) if kind in ("string", "category") else Y).astype(kind)
    for y in (series, series.array, series.set_axis(range(100, 160))):
        model = fit(y)
        assert model.score(X, y) == fit(Y).score(X, Y)
        model.fit_temperature(X, y)
        stochastic = fs.SoftmaxClassifier(solver="sgd").partial_fit(X, y, classes=pd.unique(series))
        assert 0 <= stochastic.score(X, y) <= 1


@pytest.mark.parametrize("kind", ["Float64", "Float32", "float64", "Int64"])
def test_probabilities_from_pandas_are_scored_as_they_are_fitted(kind):
    probs = np.eye(2)[Y] if kind == "Int64" else np.column_stack([0.25 + 0.5 * (Y == 0), 0.25 + 0.5 * (Y == 1)])
    frame = pd.DataFrame(probs).astype(kind)
    model, expected = fit(frame), fit(probs)
    assert same_bits(model.coef_, expected.coef_)
    assert model.score(X, frame) == expected.score(X, probs)
    assert model.fit_temperature(X, frame).temperature_ == expected.fit_temperature(X, probs).temperature_
    frame.iloc[3, 0] = None
    for call in (lambda: fit(frame), lambda: model.score(X, frame), lambda: model.fit_temperature(X, frame)):
        with pytest.raises(ValueError, match=r"y contains NaN|is no distribution|integer NA"):
            call()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("x", [X, sparse.csr_array(X)], ids=["dense", "csr"])
def test_sparsify_and_densify(n_classes, x, tmp_path):
    """As LogisticRegression has them."""
    model = quiet(fs.SoftmaxClassifier(), X, np.arange(60) % n_classes)
    model.coefs_[0][1] = 0
    before, dense = model.predict_proba(x), model.coef_.copy()
    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    assert (model.coef_.format, model.coef_.shape) == ("csr", dense.shape)
    assert same_bits(model.coef_.toarray(), dense)
    assert np.allclose(model.predict_proba(x), before, rtol=1e-13)
    assert model.decision_function(x).shape == ((60,) if n_classes == 2 else (60, 3))
    model.save(tmp_path / "model")
    assert same_bits(fs.SoftmaxClassifier.load(tmp_path / "model").coef_, dense)
    assert same_bits(
        quiet(model.set_params(warm_start=True), X, np.arange(60) % n_classes).predict(x), model.predict(x)
    )
    model.sparsify()
    assert isinstance(model.densify().coef_, np.ndarray)
    with pytest.raises(AttributeError):
        fs.SoftmaxClassifier((4,)).sparsify  # noqa: B018


@pytest.mark.parametrize("kind", ["Int64", "UInt64"])
def test_large_nullable_integers_stay_apart(kind):
    """As floats two of them would be one class."""
    large = np.array([2**53, 2**53 + 1, 5], np.uint64)[np.arange(60) % 3] + np.uint64(2**63 if kind == "UInt64" else 0)
    model = quiet(fs.SoftmaxClassifier(), X, pd.Series(large, dtype=kind))
    assert model.classes_.tolist() == np.unique(large).tolist()
    assert model.score(X, pd.Series(large, dtype=kind)) == np.mean(model.predict(X) == large)
    assert fit(pd.Series(Y.astype(bool), dtype="boolean")).classes_.tolist() == [False, True]


def test_class_weights_of_times():
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    expected = fit(Y, class_weight={1: 4.0}).coef_
    for key in (days[1], np.datetime64("2020-01-02"), pd.Timestamp("2020-01-02")):
        assert same_bits(fs.SoftmaxClassifier(class_weight={key: 4.0}).fit(X, days[Y]).coef_, expected)


def test_parameters_that_a_file_cannot_hold(tmp_path):
    model = quiet(fs.SoftmaxClassifier(range(2, 4), class_weight={0: 1.0, 1: 2.0}), X, Y)
    model.save(tmp_path / "model")
    assert fs.SoftmaxClassifier.load(tmp_path / "model").hidden_layer_sizes == (2, 3)
    day = np.datetime64("2020-01-02")
    model = fs.SoftmaxClassifier(class_weight={day: 2.0}).fit(X, np.array(["2020-01-01", "2020-01-02"], "M8[D]")[Y])
    with pytest.raises(TypeError, match="cannot be saved: only numbers and text can"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_ragged_lists_are_named(name):
    arguments = {"y": Y, "sample_weight": None, name: [[1.0], [1.0, 2.0]]}
    with pytest.raises(ValueError, match=f"{name} must be an array: setting an array element with a sequence"):
        fs.SoftmaxClassifier().fit(X, **arguments)


def test_columns_that_are_no_probabilities_of_the_classes():
    with pytest.raises(ValueError, match="y with 2 columns must hold probabilities, got <U1"):
        fit(np.array([["a", "b"]] * 60))
    model = fs.SoftmaxClassifier(solver="sgd")
    with pytest.raises(ValueError, match=r"y must have shape \(60, 3\), a column for each class, got \(60, 2\)"):
        model.partial_fit(X, np.full((60, 2), 0.5), classes=[0, 1, 2])


def test_class_weights_of_soft_labels_weigh_rows_where_the_loss_does_not_see_classes():
    """The squared error of a row weighs what its classes weigh, each by its part of the targets."""
    X, soft = rng(0).standard_normal((40, 2)), rng(1).dirichlet(np.ones(3), 40)
    options = {"loss": "squared_error", "solver": "lbfgs", "max_iter": 5}
    weighted = quiet(fs.SoftmaxClassifier(**options, class_weight={0: 1.0, 1: 2.0, 2: 0.5}), X, soft)
    by_hand = quiet(fs.SoftmaxClassifier(**options), X, soft, soft @ [1.0, 2.0, 0.5])
    np.testing.assert_allclose(weighted.coef_, by_hand.coef_, rtol=1e-9)
