"""What callers of scikit-learn's estimators count on: kinds of errors and of warnings."""

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers import quiet, rng
from sklearn.linear_model import LogisticRegression

import fastsoftmax as fs

X = rng().standard_normal((60, 4))
Y = np.arange(60) % 3


# Errors


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fs.SoftmaxClassifier(max_iter="many"), "max_iter must be an integer, got 'many'"),
        (fs.SoftmaxClassifier(tol=None), "tol must be a number, got None"),
        (fs.SoftmaxClassifier(alpha=-1), "alpha must be finite and at least 0, got -1"),
        (fs.SoftmaxClassifier(fit_intercept=1), "fit_intercept must be True or False, got 1"),
        (fs.SoftmaxClassifier(verbose="yes"), "verbose must be an integer, got 'yes'"),
        (fs.SoftmaxClassifier(verbose=-1), "verbose must be True, False or an integer of at least 0, got -1"),
        (fs.SoftmaxClassifier(class_weight=[1, 2]), 'class_weight must be "balanced", a dict or None, got [1, 2]'),
        (fs.SoftmaxClassifierCV(class_weight="even"), "class_weight must be \"balanced\", a dict or None, got 'even'"),
        (fs.SoftmaxClassifierCV(alphas=None), "alphas must be an integer or a sequence of numbers, got None"),
        (fs.SoftmaxClassifierCV(l1_ratios=[2]), "l1_ratios must be finite and at least 0 and at most 1, got 2"),
        (fs.SoftmaxClassifierCV(verbose=None), "verbose must be an integer, got None"),
        (fs.SoftmaxClassifierCV(refit="no"), "refit must be True or False, got 'no'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_a_bad_parameter_is_both_errors_as_of_scikit_learns_estimators(model, message, error):
    with pytest.raises(error) as raised:
        model.fit(X, Y)
    assert str(raised.value) == message


def test_verbose_takes_flags_and_integers(capsys):
    for verbose in (False, np.False_, 0, np.int64(0)):
        fs.SoftmaxClassifier(verbose=verbose).fit(X, Y)
    assert capsys.readouterr().err == ""
    fs.SoftmaxClassifier(verbose=np.int64(3)).fit(X, Y)
    assert "loss" in capsys.readouterr().err


def test_what_is_masked_is_no_value():
    """Its numbers, which the mask says to leave alone, were trained on."""
    model = fs.SoftmaxClassifier().fit(X, Y)
    mask = np.arange(60) == 7
    masked = np.ma.masked_array(X, np.repeat(mask[:, None], 4, 1))
    for name, call in (
        ("X", lambda: model.fit(masked, Y)),
        ("X", lambda: model.predict(masked)),
        ("y", lambda: model.fit(X, np.ma.masked_array(Y, mask))),
        ("y", lambda: model.score(X, np.ma.masked_array(Y, mask))),
        ("sample_weight", lambda: model.fit(X, Y, np.ma.masked_array(Y + 1.0, mask))),
    ):
        with pytest.raises(ValueError, match=f"^{name} must not be a masked array: what is masked has no value"):
            call()
    assert np.array_equal(model.predict(np.ma.masked_array(X)), model.predict(X))


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(["a", None, "b"] * 20, dtype="string"),
        pd.Series(["a", None, "b"] * 20, dtype="category"),
        pd.Series([0, None, 1] * 20, dtype="Int64"),
        pd.Series([True, None, False] * 20, dtype="boolean"),
        pd.Series([0.0, np.nan, 1.0] * 20),
        pd.DataFrame({"kind": ["a", None, "b"] * 20}),
        pd.DataFrame({"a": [0.5, 0.0, 1.0] * 20, "b": [0.5, np.nan, 0.0] * 20}),
    ],
    ids=["string", "category", "Int64", "boolean", "float64", "frame", "probabilities"],
)
def test_missing_labels_are_told(y):
    """Of text there was a TypeError: boolean value of NA is ambiguous."""
    with pytest.raises(ValueError, match=r"^Input y contains NaN or NA: y\[1\] is missing"):
        fs.SoftmaxClassifier().fit(X, y)


def test_no_classes_and_no_samples_to_train_on():
    with pytest.raises(ValueError, match="classes must be at least 2, but there is none"):
        fs.SoftmaxClassifier(solver="sgd").partial_fit(X, Y, classes=[])
    model = fs.SoftmaxClassifier(solver="sgd", early_stopping=True, validation_fraction=0.99)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.99 of 6 samples leaves none to train on"):
        model.fit(X[:6], Y[:6])


# Warnings


@pytest.mark.parametrize("kind", [int, str, float, object])
def test_a_y_of_many_values_may_be_one_of_a_regression(kind):
    """As scikit-learn's classifiers warn, once."""
    values = np.arange(60) // 2
    many, few = ((values + k).astype(str if kind is object else kind).astype(kind) for k in (np.arange(60) % 2, 0))
    with pytest.warns(UserWarning, match="number of unique classes is greater than 50%") as warned:
        fs.SoftmaxClassifier().fit(X, many)
    with pytest.warns(UserWarning, match="number of unique classes is greater than 50%"):
        quiet(LogisticRegression(), X, many)
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fs.SoftmaxClassifier().fit(X, few)
