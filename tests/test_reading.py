"""X and y of a fit: plain arrays go past scikit-learn's checks, and nobody can tell but by the time."""

import numpy as np
import pandas as pd
import pytest
from helpers import quiet, rng, same_bits

import fastsoftmax as fs
from fastsoftmax.classifier import reading

X, y = rng(0).standard_normal((30, 4)), rng(1).integers(0, 3, 30)


@pytest.fixture
def looks(monkeypatch):
    """How often scikit-learn looks at X and y."""
    counted, validate = [], reading.validate_data

    def look(*arguments, **options):
        counted.append(1)
        return validate(*arguments, **options)

    monkeypatch.setattr(reading, "validate_data", look)
    return counted


@pytest.mark.parametrize(
    "labels", [y, y.astype(np.int8), y.astype(np.uint64), y > 0], ids=lambda labels: str(labels.dtype)
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_arrays_are_taken_as_they_are(looks, dtype, labels):
    some = X.astype(dtype)
    quick = fs.SoftmaxClassifier().fit(some, labels)
    assert not looks
    whole = fs.SoftmaxClassifier().fit(np.asfortranarray(some), labels)
    assert looks
    assert same_bits(quick.coef_, whole.coef_)
    assert same_bits(quick.classes_, whole.classes_)
    assert quick.n_features_in_ == whole.n_features_in_ == 4


@pytest.mark.parametrize(
    "other",
    [
        (X.tolist(), y),
        (X.astype(np.float16), y),
        (X.astype(">f8"), y),
        (X[::2], y[::2]),
        (X, y.tolist()),
        (X, y.astype(str)),
        (X, y.astype(float)),
        (X, y.astype(str).astype(object)),
        (X, y[:, None] == [[0, 1, 2]]),
        (np.full((30, 4), 1.5e308), y),
    ],
    ids=["lists", "float16", "big-endian", "stride", "list", "str", "float", "object", "matrix", "sum overflows"],
)
def test_all_else_is_looked_at(looks, other):
    reading.read_data(fs.SoftmaxClassifier(), *other, None, reset=True)
    assert looks


def test_what_scikit_learn_refuses_is_refused_as_before():
    model = fs.SoftmaxClassifier().fit(X, y)
    for bad, words in ((np.nan, "Input X contains NaN"), (-np.inf, "Input X contains infinity")):
        spoilt = X.copy()
        spoilt[7, 2] = bad
        with pytest.raises(ValueError, match=words):
            fs.SoftmaxClassifier().fit(spoilt, y)
    for some, labels, words in (
        (X, y[:-1], "inconsistent numbers of samples"),
        (X[:0], y[:0], r"0 sample\(s\)"),
        (X[:, :0].copy(), y, r"0 feature\(s\)"),
    ):
        with pytest.raises(ValueError, match=words):
            fs.SoftmaxClassifier().fit(some, labels)
    with pytest.raises(ValueError, match="3 features, but SoftmaxClassifier is expecting 4"):
        quiet(fs.SoftmaxClassifier(solver="sgd"), X, y).partial_fit(X[:, :3].copy(), y)
    assert model.n_features_in_ == 4


def test_names_of_an_earlier_fit_are_forgotten(looks):
    named = pd.DataFrame(X, columns=list("abcd"))
    model = quiet(fs.SoftmaxClassifier(solver="sgd", max_iter=1), named, y)
    assert hasattr(model, "feature_names_in_")
    looks.clear()
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.partial_fit(X, y)
    assert looks
    assert not hasattr(quiet(model, X, y), "feature_names_in_")
    looks.clear()
    model.partial_fit(X, y)
    assert not looks
