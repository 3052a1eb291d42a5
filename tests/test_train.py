"""fastsoftmax train, predict and export: what they print, what they write, and what they say of bad input."""

import csv
import io
import json
import os
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file, load_iris
from test_cli import run

import fastsoftmax as fs
from fastsoftmax.classifier.options import SOLVERS
from fastsoftmax.cli import train as train_command
from fastsoftmax.cli.datasets import load, split

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versi,color", "[red]virginica"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with iris as a .csv file whose labels are text, in the first column."""
    monkeypatch.chdir(tmp_path)
    with open("iris.csv", "w", newline="") as file:
        rows = ([NAMES[k], *map(str, x)] for x, k in zip(X, Y, strict=True))
        csv.writer(file).writerows([["kind", "a", "b", "c", "d"], *rows])
    return tmp_path


@pytest.fixture
def model(folder):
    """A saved model of iris as it comes."""
    fitted = fs.SoftmaxClassifier().fit(X, NAMES[Y])
    fitted.save("m.npz")
    return fitted


def columns(text):
    """Of CSV: the header and the rows."""
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows


def test_train_prints_an_object_and_writes_what_it_tells(capsys, folder):
    status, out, err = run(capsys, "train", "iris.csv", "--label", "kind", "--model", "m.npz", "--json")
    report = json.loads(out)
    assert status == 0, err
    assert list(report) == list(train_command.Report.__dataclass_fields__)
    assert (report["n_train"], report["n_test"], report["n_features"], report["n_classes"]) == (113, 37, 4, 3)
    assert report["classes"] == sorted(NAMES)
    assert np.trace(report["confusion"]) == round(report["test_accuracy"] * 37)
    assert np.sum(report["confusion"]) == 37
    assert min(report["test_accuracy"], report["train_accuracy"]) > 0.9
    assert report["loss"] < report["first_loss"] < np.log(3)
    assert "113 samples to train on, 37 held out, 3 classes" in err
    loaded = fs.SoftmaxClassifier.load("m.npz")
    assert loaded.loss_ == report["loss"]
    assert loaded.loss_curve_ == report["loss_curve"]
    assert sorted(path.name for path in folder.iterdir()) == ["iris.csv", "m.npz"]


def test_train_prints_tables(capsys, folder):
    status, out, _ = run(capsys, "train", "iris.csv", "--label", "kind", "--model", "m.npz")
    assert status == 0
    for text in ("113x4x3", "first loss", "held out", "true / predicted", "[red]virginica", "model: m.npz"):
        assert text in out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            "--hidden 6,5 --activation tanh --solver adam --epochs 3 --learning-rate 0.01",
            {"n_layers_": 4, "n_iter_": 3},
        ),
        ("--solver sgd --max-iter 3 --early-stopping", {"early_stopping": True, "n_iter_": 3}),
        ("--l1-ratio 1 --alpha 5 --seed 3", {"alpha": 5.0, "l1_ratio": 1.0, "random_state": 3}),
        ("--solver sgd --max-iter 2 --dtype float32", {"solver": "sgd", "max_iter": 2, "n_iter_": 2}),
    ],
)
def test_options_of_train(capsys, folder, options, expected):
    status, _, err = run(capsys, "train", "iris", "--model", "m.npz", *options.split())
    assert status == 0
    loaded = fs.SoftmaxClassifier.load("m.npz")
    assert {name: getattr(loaded, name) for name in expected} == expected
    assert loaded.coefs_[0].dtype == ("float32" if "float32" in options else "float64")
    assert loaded.verbose == 0
    assert ("as they are" in err) == ("sgd" in options or "--hidden" in options)
    assert ("warning: " in err) == ("sgd" in options or "--hidden" in options)  # so few epochs are not enough


def test_the_solvers_are_those_of_the_classifier():
    assert train_command.SOLVERS == SOLVERS


def test_nothing_is_held_out_on_demand(capsys, folder):
    status, out, _ = run(capsys, "train", "iris", "--model", "m.npz", "--test-size", "0", "--json")
    report = json.loads(out)
    assert (status, report["n_train"], report["test_accuracy"], report["confusion"]) == (0, 150, None, None)
    assert (fs.SoftmaxClassifier.load("m.npz").coef_ == fs.SoftmaxClassifier(random_state=0).fit(X, Y).coef_).all()
    assert run(capsys, "train", "iris", "--model", "m.npz", "--test-size", "0")[0] == 0


def test_a_column_of_the_confusion_matrix_is_a_predicted_class(capsys, folder):
    _, out, _ = run(capsys, "train", "digits", "--model", "m.npz", "--json", "--test-size", "0.5", "--seed", "1")
    confusion, data = json.loads(out)["confusion"], load("digits")
    held = split(data, len(data.y) // 2, 1)[1]
    predicted = fs.SoftmaxClassifier.load("m.npz").predict(data.X[held])
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (data.y[held], predicted), 1)
    assert np.array_equal(confusion, expected)


def test_predict_labels_and_probabilities(capsys, model):
    status, out, err = run(capsys, "predict", "m.npz", "iris")
    assert (status, err) == (0, "")
    header, rows = columns(out)
    assert header == ["label"]
    assert [row[0] for row in rows] == list(model.predict(X))
    status, out, _ = run(capsys, "predict", "m.npz", "iris", "--proba")
    header, rows = columns(out)
    assert header == list(model.classes_)
    assert np.array_equal(np.array(rows, float), model.predict_proba(X))


def test_predict_prints_an_object(capsys, model):
    _, out, _ = run(capsys, "predict", "m.npz", "iris", "--json")
    assert json.loads(out) == {"labels": model.predict(X).tolist()}
    _, out, _ = run(capsys, "predict", "m.npz", "iris", "--json", "--proba")
    assert json.loads(out) == {"classes": model.classes_.tolist(), "probabilities": model.predict_proba(X).tolist()}


@pytest.mark.parametrize(
    ("head", "before", "after", "options", "told"),
    [
        ("", "", "", "", ""),
        ("a,b,c,d", "", "", "", ""),
        ("0,1,2,3", "", "", "", ""),
        ("1,2,3,4", "", "", "--header yes", ""),
        ("a,b,c,d,kind", "", ",x", "", "the last column, 'kind', is left out as labels"),
        ("", "", ",x", "", "the last column, number 4, is left out as labels"),
        ("kind,a,b,c,d", "x,", "", "--label kind", ""),
        ("kind,a,b,c,d", ",", "", "--label kind", ""),
    ],
)
def test_predict_of_csv_with_and_without_names_and_labels(capsys, model, head, before, after, options, told):
    with open("new.csv", "w") as file:
        file.write(head + "\n" if head else "")
        file.writelines(f"{before}{','.join(map(str, x))}{after}\n" for x in X)
    status, out, err = run(capsys, "predict", "m.npz", "new.csv", *options.split())
    assert status == 0, err
    assert [row[0] for row in columns(out)[1]] == list(model.predict(X))
    assert told in err
    assert bool(told) == bool(err)


def test_arrays_and_sparse_files(capsys, folder):
    np.savez("iris.npz", X=X.astype(np.float32), y=Y.astype(float))
    np.savez("new.npz", X=X)
    dump_svmlight_file(np.hstack([X, np.zeros((150, 1))]), Y, "iris.svmlight", zero_based=False)
    dense = run(capsys, "train", "iris.npz", "--model", "m.npz", "--json")[1]
    sparse = run(capsys, "train", "iris.svmlight", "--model", "s.npz", "--json", "--solver", "lbfgs")[1]
    assert json.loads(dense)["test_accuracy"] > 0.9 < json.loads(sparse)["test_accuracy"]
    assert json.loads(dense)["classes"] == [0, 1, 2] == json.loads(sparse)["classes"]
    found = [run(capsys, "predict", *files) for files in (("m.npz", "new.npz"), ("s.npz", "iris.svmlight"))]
    for status, out, _ in found:
        assert status == 0
        assert np.mean(np.array(columns(out)[1], int).ravel() == Y) > 0.95


def test_integers_of_any_size_are_labels(capsys, folder):
    with open("big.csv", "w") as file:
        file.writelines(f"{x[2]},{x[3]},{10**30 + k}\n" for x, k in zip(X, Y.tolist(), strict=True))
    assert run(capsys, "train", "big.csv", "--model", "m.npz")[0] == 0
    _, out, _ = run(capsys, "predict", "m.npz", "big.csv")
    assert {row[0] for row in columns(out)[1]} == {str(10**30 + k) for k in range(3)}


def test_export(capsys, model):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    status, out, err = run(capsys, "export", "m.npz", "m.onnx")
    assert (status, out) == (0, "")
    assert err.startswith("m.onnx: opset ")
    assert onnx.load("m.onnx") == fs.to_onnx(model)
    _, out, _ = run(capsys, "export", "m.npz", "m.onnx", "--json")
    assert json.loads(out)["file"] == "m.onnx"


def test_export_without_onnx(capsys, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, out, err = run(capsys, "export", "m.npz", "m.onnx")
    assert (status, out) == (1, "")
    assert err == "fastsoftmax: to_onnx needs the package onnx: pip install onnx\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("train iris", 2, "the following arguments are required: --model"),
        ("train nothing --model x", 2, "'nothing' is none of iris, wine, breast_cancer, digits, and no path"),
        ("train iris --model no/x", 2, "--model no/x: there is no folder"),
        ("train iris --model .", 2, "--model . is a folder"),
        (f"train iris --model {os.devnull}", 2, f"--model {os.devnull} is not an ordinary file, so it is not replaced"),
        ("train iris.csv --model iris.csv", 2, "--model iris.csv would replace the data"),
        ("train iris --model x --label a", 2, "--label goes with a .csv or .parquet file"),
        ("train iris --model x --test-size 1", 2, "argument --test-size: '1' must be below 1"),
        ("train iris --model x --early-stopping", 2, "--early-stopping goes with --solver sgd or adam"),
        ("train iris --model x --solver sgd --l1-ratio 0.5", 2, "l1_ratio=0.5 needs solver='coordinate-descent'"),
        ("train iris --model x --hidden 4 --solver newton-cg", 2, "solver='newton-cg' needs hidden_layer_sizes=()"),
        ("train iris --model x --solver sgd --learning-rate 1e300", 1, "the loss was not finite"),
        ("train none.csv --model x", 3, "fastsoftmax: none.csv: No such file"),
        ("train iris.csv --model x", 3, "iris.csv: a label is 0.2: labels must be text or whole numbers"),
        ("train iris.csv --model x --label type", 3, "iris.csv: no label column 'type': line 1 has kind, a, b, c, d"),
        ("train few.csv --model x", 3, "few.csv: 2 samples are too few to hold one out: see --test-size 0"),
        ("train bad.svmlight --model x", 3, "bad.svmlight: not svmlight's format"),
        ("train bad.parquet --model x", 3, "fastsoftmax: bad.parquet: "),
        ("predict none.npz iris", 3, "fastsoftmax: none.npz: No such file"),
        ("predict iris.csv iris", 3, "fastsoftmax: iris.csv is not a saved model, or damaged"),
        ("predict m.npz wine", 3, "fastsoftmax: wine: 13 features, but the model has 4"),
        ("predict m.npz few.csv", 3, "few.csv: 2 features besides the label column 'kind', but the model has 4"),
        ("predict m.npz few.csv --label no", 3, "few.csv: no label column 'no'"),
        ("predict m.npz odd.csv", 3, "odd.csv: line 1, 1,x,3,4, may have names or be a sample. Say which"),
        ("predict m.npz odd.csv --header no", 3, "odd.csv: line 1, column 2 is not a number: 'x'"),
        ("predict m.npz m.npz", 3, "fastsoftmax: m.npz: no array X"),
        ("predict m.npz inf.npz", 3, "fastsoftmax: inf.npz: X[1, 2] is inf: features must be finite"),
        ("predict m.npz bad.svmlight", 3, "bad.svmlight: not svmlight's format"),
        ("predict m.npz bad.parquet --header no", 2, "--header goes with a .csv file"),
        ("predict m.npz iris --label a", 2, "--label goes with a .csv or .parquet file"),
        ("export none.npz x", 3, "fastsoftmax: none.npz: No such file"),
        ("export m.npz no/x", 1, "fastsoftmax: no/x: No such file"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(capsys, model, folder, arguments, status, message):
    if arguments.startswith("export m"):
        pytest.importorskip("onnx", reason="onnx is not installed")
    (folder / "few.csv").write_text("a,b,kind\n1,2,x\n3,4,y\n")
    (folder / "odd.csv").write_text("1,x,3,4\n1,2,3,4\n")
    (folder / "bad.svmlight").write_text("hello world\n")
    (folder / "bad.parquet").write_text("nope")
    np.savez("inf.npz", X=np.where(np.arange(8) == 6, np.inf, 0.0).reshape(2, 4))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found, out, err = run(capsys, *arguments.split())
    assert (found, out) == (status, "")
    assert message in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_interrupt_is_status_130_and_leaves_the_model_that_was_there(capsys, model, folder, monkeypatch):
    before = (folder / "m.npz").read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastsoftmax.classifier.estimator.solve", interrupted)
    status, out, err = run(capsys, "train", "iris", "--model", "m.npz")
    assert (status, out, err.splitlines()[-1]) == (130, "", "interrupted")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(fs.SoftmaxClassifier, "fit", warns_of_an_interrupt)
    status, out, err = run(capsys, "train", "iris", "--model", "m.npz")
    assert (status, out, err.splitlines()[-1]) == (130, "", "interrupted")
    assert (folder / "m.npz").read_bytes() == before


def warns_of_an_interrupt(self, X, y):
    """As fit does, which then has the last good weights."""
    warnings.warn("Training interrupted by user after 3 iterations: the last good weights are kept", stacklevel=1)


def test_a_model_that_cannot_be_written_is_status_1(capsys, folder, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs.SoftmaxClassifier, "save", full)
    status, out, err = run(capsys, "train", "iris", "--model", "m.npz")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "fastsoftmax: m.npz: No space left on device"


def test_a_folder_that_cannot_be_written_is_told_before_the_training(capsys, folder, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    status, out, err = run(capsys, "train", "iris", "--model", "m.npz")
    assert (status, out) == (2, "")
    assert f"--model m.npz: the folder {folder} cannot be written" in err


def test_names_of_features_that_a_fit_knew_need_not_be_there(capsys, folder, recwarn):
    pandas = pytest.importorskip("pandas")
    fs.SoftmaxClassifier().fit(pandas.DataFrame(X, columns=list("abcd")), Y).save("m.npz")
    status, out, err = run(capsys, "predict", "m.npz", "iris")
    assert (status, len(columns(out)[1]), err) == (0, 150, "")
    assert not recwarn
