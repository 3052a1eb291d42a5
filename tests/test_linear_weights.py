"""coef_ and intercept_ that are set from elsewhere, as by federated learning."""

import numpy as np
import pytest
from helpers import quiet, rng
from sklearn.linear_model import LogisticRegression

import fastsoftmax as fs

X = rng().standard_normal((60, 4))
Y = np.arange(60) % 3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_of_another_model(n_classes, tmp_path):
    y = np.arange(60) % n_classes
    other = LogisticRegression(tol=1e-8).fit(X, y)
    model = fs.SoftmaxClassifier(warm_start=True)
    model.coef_, model.intercept_, model.classes_ = other.coef_, other.intercept_, other.classes_
    assert np.allclose(model.predict_proba(X), other.predict_proba(X), rtol=1e-12)
    assert model.coef_.flags.writeable
    assert not np.shares_memory(model.coef_, other.coef_)
    model.save(tmp_path / "m.npz")
    assert np.array_equal(fs.SoftmaxClassifier.load(tmp_path / "m.npz").predict_proba(X), model.predict_proba(X))
    assert model.fit(X, y).n_iter_ < fs.SoftmaxClassifier().fit(X, y).n_iter_


def test_weights_of_a_fitted_model_are_replaced_by_others_of_the_same_shape():
    model = fs.SoftmaxClassifier().fit(X.astype(np.float32), Y)
    logits = model.fit_temperature(X, Y).decision_function(X)
    model.coef_ *= 2
    model.intercept_ = [2 * bias for bias in model.intercept_]
    assert np.array_equal(model.decision_function(X), 2 * logits)
    assert (model.coef_.dtype, model.intercept_.dtype, model.temperature_) == (np.float32, np.float32, 1.0)
    before = model.decision_function(X)
    for name, bad, error, message in (
        ("coef_", np.ones((3, 5)), ValueError, r"coef_ must have shape \(3, 4\), got \(3, 5\)"),
        ("coef_", "no", TypeError, "coef_ must hold real numbers"),
        ("intercept_", [1.0], ValueError, r"intercept_ must have shape \(3,\), got \(1,\)"),
    ):
        with pytest.raises(error, match=message):
            setattr(model, name, bad)
    assert np.array_equal(model.decision_function(X), before)
    assert type(model.sparsify().coef_) is not np.ndarray
    model.coef_ = np.zeros((3, 4))
    assert not model.predict(X).any()


def test_weights_that_cannot_be_set():
    model = fs.SoftmaxClassifier()
    with pytest.raises(ValueError, match=r"coef_ must have shape \(n_classes, n_features\), or .*, got \(4,\)"):
        model.coef_ = np.ones(4)
    with pytest.raises(AttributeError, match="intercept_ can be set after coef_, or after fit"):
        model.intercept_ = [1.0]
    with pytest.raises(AttributeError, match="only a model without hidden layers has a coef_"):
        fs.SoftmaxClassifier((3,)).coef_ = np.ones((3, 4))
    network = quiet(fs.SoftmaxClassifier((3,), max_iter=2), X, Y)
    for name in ("coef_", "intercept_"):
        with pytest.raises(AttributeError, match=f"a network with hidden layers has no {name}"):
            setattr(network, name, np.ones((3, 4)))
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "intercept_")
