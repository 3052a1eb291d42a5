"""A classifier in ONNX answers in ONNX Runtime as it does here, to 1e-6 on digits."""

import json
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastsoftmax as fs

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

X, Y = load_digits(return_X_y=True)
X = X / 16
NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nüne"])
QUICK = {"solver": "adam", "max_iter": 3, "n_iter_no_change": 3, "learning_rate_init": 0.01, "random_state": 0}


def fitted(X, y, **options):
    """A classifier after three epochs, which are not enough and need not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fs.SoftmaxClassifier(**{**QUICK, **options}).fit(X, y)


def session_of(model):
    translated = fs.to_onnx(model)
    onnx.checker.check_model(translated, full_check=True)
    return runtime.InferenceSession(translated.SerializeToString(), providers=["CPUExecutionProvider"])


def check(model, X):
    """Label and probabilities are the classifier's."""
    session = session_of(model)
    assert [given.name for given in session.get_inputs()] == ["X"]
    assert [output.name for output in session.get_outputs()] == ["label", "probabilities"]
    for rows in (len(X), 1, 0):
        label, probabilities = session.run(None, {"X": X[:rows]})
        assert label.shape == (rows,)
        assert probabilities.dtype == model.coefs_[0].dtype
        if rows:
            np.testing.assert_allclose(probabilities, model.predict_proba(X[:rows]), rtol=0, atol=1e-6)
            assert (label == model.predict(X[:rows])).all()
    return label


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("hidden", [(), (12,), (9, 7)])
def test_layers_classes_and_dtypes(dtype, n_classes, hidden):
    some = n_classes > Y
    check(fitted(X[some].astype(dtype), Y[some], hidden_layer_sizes=hidden), X[some].astype(dtype))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_activations(activation):
    check(fitted(X, Y, hidden_layer_sizes=(12,), activation=activation), X)


@pytest.mark.parametrize("temperature", [1.7, 0.01, float(np.finfo(np.float64).tiny)])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_temperature_divides_the_logits(temperature, n_classes):
    some = n_classes > Y
    model = fitted(X[some], Y[some])
    model.temperature_ = temperature
    check(model, X[some])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (NAMES[Y], "tensor(string)"),
        (NAMES.astype(object)[Y], "tensor(string)"),
        (Y - 7, "tensor(int64)"),
        (Y.astype(np.uint8), "tensor(int64)"),
        (Y > 4, "tensor(bool)"),
        (Y.astype(np.float32), "tensor(double)"),
    ],
    ids=["text", "objects", "integers", "uint8", "bool", "float"],
)
def test_labels(labels, kind):
    model = fitted(X, labels)
    check(model, X)
    assert session_of(model).get_outputs()[0].type == kind
    properties = {item.key: item.value for item in fs.to_onnx(model).metadata_props}
    assert json.loads(properties["classes"]) == model.classes_.tolist()


def test_a_linear_model_by_default_and_after_sparsify():
    model = fs.SoftmaxClassifier().fit(X, Y)
    check(model, X)
    sparse = fs.SoftmaxClassifier(alpha=30.0, l1_ratio=1.0).fit(X, Y)
    dense = fs.to_onnx(sparse)
    check(sparse.sparsify(), X)
    assert fs.to_onnx(sparse) == dense


def test_of_a_search_the_best_estimator_is_taken():
    search = fs.SoftmaxClassifierCV(alphas=[10.0, 1.0], cv=2).fit(X, Y)
    assert fs.to_onnx(search) == fs.to_onnx(search.best_estimator_)


def test_who_made_it_and_the_names_of_the_features():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True)
    names = ["a", "b", "c", "длина"]
    translated = fs.to_onnx(fitted(pandas.DataFrame(X, columns=names), y))
    assert (translated.producer_name, translated.producer_version) == ("fastsoftmax", fs.__version__)
    properties = {item.key: item.value for item in translated.metadata_props}
    assert json.loads(properties["feature_names"]) == names
    assert translated.opset_import[0].version <= onnx.defs.onnx_opset_version()


def test_what_cannot_be_translated(monkeypatch):
    with pytest.raises(NotFittedError):
        fs.to_onnx(fs.SoftmaxClassifier())
    with pytest.raises(TypeError, match="takes a SoftmaxClassifier, got int"):
        fs.to_onnx(3)
    model = fitted(X, Y)
    for classes in (np.arange(10).astype("M8[s]"), np.arange(10).astype(object)):
        model.classes_ = classes
        with pytest.raises(TypeError, match="classes_ must be numbers or text"):
            fs.to_onnx(model)
    model.classes_ = np.arange(10, dtype=np.uint64) + 2**63
    with pytest.raises(TypeError, match="classes_ must fit int64"):
        fs.to_onnx(model)
    model.classes_ = np.arange(10)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        fs.to_onnx(model)
