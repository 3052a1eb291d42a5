"""A classifier on disk comes back as it was, and a file of anything else is refused."""

import json

import numpy as np
import pytest
from helpers import quiet, same_bits
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import fastsoftmax as fs
from fastsoftmax.classifier.model_file import ModelFormatError, read, write

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (NAMES[Y], {"class_weight": {"setosa": 2.0, "virginica": 0.5, "versicolor": 1}, "alpha": np.float64(0.5)}),
        (NAMES.astype(object)[Y], {"hidden_layer_sizes": (5,), "max_iter": 1000, "tol": 1e-3}),
        (Y == 1, {"solver": "adam", "tol": 1e-2, "random_state": 3}),
        (Y - 7, {"solver": "newton-cg", "random_state": np.random.RandomState(3)}),
    ],
    ids=["text", "objects", "bool", "negative"],
)
def test_a_classifier_comes_back(tmp_path, labels, options):
    model = fs.SoftmaxClassifier(**options).fit(X, labels)
    model.temperature_ = 1.7
    model.save(tmp_path / "iris.model")
    again = fs.SoftmaxClassifier.load(tmp_path / "iris.model")
    assert [path.name for path in tmp_path.iterdir()] == ["iris.model"]
    assert same_bits(again.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.classes_.dtype == model.classes_.dtype
    kept = model.get_params() | ({"random_state": None} if "newton-cg" in options.values() else {})
    assert again.get_params() == kept
    assert type(again.hidden_layer_sizes) is tuple
    assert set(vars(again)) == set(vars(model))
    for name in ("n_iter_", "loss_", "best_loss_", "loss_curve_", "t_", "n_features_in_", "n_layers_", "n_outputs_"):
        assert getattr(again, name) == getattr(model, name)
    if model.solver == "adam":  # it goes on as if it had never left
        assert same_bits(again.partial_fit(X, labels).coef_, model.partial_fit(X, labels).coef_)


def test_the_curves_come_back_and_a_model_saved_before_one_was_kept_lacks_it(tmp_path):
    model = fs.SoftmaxClassifier(solver="adam", early_stopping=True, tol=1e-2).fit(X, Y)
    model.save(tmp_path / "model")
    again = fs.SoftmaxClassifier.load(tmp_path / "model")
    for name in ("validation_scores_", "validation_loss_curve_"):
        assert getattr(again, name) == getattr(model, name)
        assert len(getattr(again, name)) == model.n_iter_
    header, arrays = read(tmp_path / "model")
    header.pop("validation_loss_curve_")
    write(tmp_path / "model", header, arrays)
    assert fs.SoftmaxClassifier.load(tmp_path / "model").validation_loss_curve_ is None


def test_feature_names_come_back(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = fs.SoftmaxClassifier().fit(frame, Y)
    model.save(tmp_path / "model")
    again = fs.SoftmaxClassifier.load(tmp_path / "model")
    assert list(again.feature_names_in_) == list("abcd")
    assert same_bits(again.predict_proba(frame), model.predict_proba(frame))


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        fs.SoftmaxClassifier().save(tmp_path / "model")
    model = fs.SoftmaxClassifier().fit(X, NAMES.astype(object)[Y])
    model.classes_ = np.array([(1,), (2,), (3,), None], object)[:3]
    with pytest.raises(TypeError, match="classes_ holds objects that are not str"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_well_made_file_of_something_else(tmp_path):
    """Digest and all: what it holds is looked at, too."""
    model = fs.SoftmaxClassifier(solver="adam", tol=1e-2).fit(X, Y)
    model.save(tmp_path / "model")
    header, arrays = read(tmp_path / "model")
    text = json.dumps(header)

    def spoiled(change):
        other, some = json.loads(text), dict(arrays)
        change(other, some)
        return other, some

    for change in (
        lambda h, a: a.pop("coefs_0"),
        lambda h, a: a.pop("classes_"),
        lambda h, a: a.update(coefs_0=np.zeros((3, 3))),
        lambda h, a: a.update(coefs_0=np.zeros((4, 3), np.int64)),
        lambda h, a: a.update(intercepts_0=np.zeros((3, 1))),
        lambda h, a: a.update(classes_=np.arange(2)),
        lambda h, a: a.update(descent_moment=np.zeros(3)),
        lambda h, a: a.update(more=np.zeros(3)),
        lambda h, a: a.update(feature_names_in_=np.array(["a"])),
        lambda h, a: h.pop("params"),
        lambda h, a: h["params"].pop("alpha"),
        lambda h, a: h["params"].update(evil=1),
        lambda h, a: h.pop("n_iter_"),
        lambda h, a: h.update(n_features_in_=9),
        lambda h, a: h.update(params=3),
    ):
        write(tmp_path / "model", *spoiled(change))
        with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier"):
            fs.SoftmaxClassifier.load(tmp_path / "model")


def test_an_infinite_parameter_is_kept(tmp_path):
    model = quiet(fs.SoftmaxClassifier(solver="sgd", n_iter_no_change=np.inf, max_iter=3), X, Y)
    model.save(tmp_path / "model")
    assert fs.SoftmaxClassifier.load(tmp_path / "model").n_iter_no_change == np.inf


@pytest.mark.parametrize("dtype", [np.float16, np.int64])
def test_weights_of_a_dtype_that_no_fit_gives_are_refused(dtype, tmp_path):
    path = tmp_path / "model"
    fs.SoftmaxClassifier(max_iter=500).fit(X, Y).save(path)
    header, arrays = read(path)
    weights = {name: array.astype(dtype) for name, array in arrays.items() if name.startswith(("coefs", "intercepts"))}
    assert weights
    write(path, header, {**arrays, **weights})
    with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier: its weights are not float32"):
        fs.SoftmaxClassifier.load(path)


class Ridge(fs.SoftmaxClassifier):
    """A classifier of a user's, with parameters of its own and few of ours."""

    def __init__(self, strength=3.0, alpha=1.0):
        super().__init__(alpha=alpha, solver="lbfgs", max_iter=50)
        self.strength = strength

    def fit(self, X, y, sample_weight=None):
        self.alpha = self.strength
        return super().fit(X, y, sample_weight)


def test_a_subclass_with_other_parameters_comes_back(tmp_path):
    """It was a KeyError: random_state, also where a checkpoint was to be written."""
    model = Ridge(5.0).set_params(alpha=5.0)
    model.checkpoint = tmp_path / "checkpoint.npz"
    model.fit(X, Y).save(tmp_path / "model.npz")
    for name in ("model", "checkpoint"):
        loaded = Ridge.load(tmp_path / f"{name}.npz")
        assert type(loaded) is Ridge
        assert loaded.get_params() == {"strength": 5.0, "alpha": 5.0}
        assert loaded.checkpoint is None
        assert same_bits(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ModelFormatError, match="its parameters are those of another version or class"):
        fs.SoftmaxClassifier.load(tmp_path / "model.npz")
