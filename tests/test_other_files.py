"""Files of arrays and tables: .parquet, .npz and .svmlight as `train`, `predict` and `compare` take them."""

import datetime
import json
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris
from test_cli import run

import fastsoftmax as fs
from fastsoftmax.cli.datasets import load

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def write(folder):
    """write(columns, name): a .parquet file, as pandas writes it by pyarrow."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return lambda columns, name="data.parquet": pandas.DataFrame(columns).to_parquet(name)


def columns(**more):
    """Of 150 samples, each of another type; the last are the labels."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return {
        "length": X[:, 2].astype(np.float32),
        "width": pandas.array((X[:, 3] * 10).astype(int), dtype="Int64"),  # integers that may be missing
        "wide": X[:, 1] > 3,
        "colour": pandas.Categorical(np.array(["red", "blue", "green"])[Y]),
        **more,
        "kind": np.array(["setosa", "versicolor", "virginica"])[Y],
    }


def labels(out):
    return out.splitlines()[1:]


def test_train_and_predict_with_a_parquet_file(capsys, write):
    write(columns())
    status, out, err = run(capsys, "train", "data.parquet", "--model", "m.npz", "--json")
    told = json.loads(out)
    assert (status, told["classes"], told["n_features"]) == (0, ["setosa", "versicolor", "virginica"], 6), err
    assert "column 'colour' is a category of 3: blue, green, red (one feature each)" in err
    expected = ["length", "width", "wide", "colour=blue", "colour=green", "colour=red"]
    assert sorted(fs.SoftmaxClassifier.load("m.npz").feature_names_in_) == sorted(expected)
    shuffled = dict(reversed([*columns(id=np.arange(150)).items()]))
    write({name: column for name, column in shuffled.items() if name != "kind"}, "new.parquet")
    status, out, err = run(capsys, "predict", "m.npz", "new.parquet")
    assert (status, err) == (0, "new.parquet: left out: id\n")
    assert np.mean(np.array(labels(out)) == columns()["kind"]) > 0.95
    assert run(capsys, "predict", "m.npz", "data.parquet")[1] == out


def test_a_model_without_names_takes_the_columns_as_they_stand(capsys, write):
    """The labels are left out: the last column, or the one that is named; or there are none."""
    fs.SoftmaxClassifier().fit(X, Y).save("m.npz")
    named = dict(zip("abcd", X.T, strict=True))
    found = []
    first, last = {"kind": Y, **named}, {**named, "kind": Y}
    files = (last, ()), (first, ("--label", "kind")), (first, ("--label", "0")), (named, ())
    for number, (table, options) in enumerate(files):
        write(table, f"{number}.parquet")
        status, out, err = run(capsys, "predict", "m.npz", f"{number}.parquet", *options)
        assert status == 0, err
        found.append(labels(out))
    assert found == [found[0]] * 4
    assert np.mean(np.array(found[0], int) == Y) > 0.95


def test_a_column_of_times_is_left_out_on_demand(capsys, write):
    day = datetime.datetime(2026, 1, 1)
    write(columns(day=[day + datetime.timedelta(days=n) for n in range(150)]))
    status, out, err = run(capsys, "train", "data.parquet", "--model", "m.npz")
    assert (status, out) == (3, "")
    assert "data.parquet: column 'day' holds times (datetime64[" in err
    assert "leave it out with --drop" in err
    assert run(capsys, "train", "data.parquet", "--model", "m.npz", "--drop", "day,wide")[0] == 0
    assert "wide" not in fs.SoftmaxClassifier.load("m.npz").feature_names_in_
    status, out, err = run(capsys, "predict", "m.npz", "data.parquet")  # which knows what it needs
    assert (status, len(labels(out)), err) == (0, 150, "data.parquet: left out: wide, day, kind\n")


BAD = [
    ({"length": [1.0, None, 3.0], "kind": [0, 1, 0]}, "", "row 1, column 1 (length) is missing"),
    ({"colour": ["red", None, "red"], "kind": [0, 1, 0]}, "", "row 1, column 1 (colour) is missing"),
    ({"length": [1.0, 2.0, 3.0], "kind": ["a", "b", None]}, "", "label column 'kind': row 2 has no label"),
    ({"length": [1.0, 2.0, 3.0], "kind": [0.5, 1.0, 2.0]}, "", "a label is 0.5: labels must be text or whole numbers"),
    (
        {"length": [1.0, 2.0], "kind": [0, 1]},
        "--label kin",
        "no column 'kin', or more than one: the columns are length",
    ),
    ({"length": [1.0, 2.0], "kind": [0, 1]}, "--label 2", "no column '2'"),
    ({"length": [1.0, 2.0], "kind": [0, 1]}, "--drop kind", "--drop names the label column"),
    ({"length": [1.0, 2.0], "kind": [0, 1]}, "--drop length", "no feature is left"),
    ({"kind": [0, 1]}, "", "no feature is left"),
    ({"length": [], "kind": []}, "", "empty"),
]


@pytest.mark.parametrize(("table", "options", "message"), BAD)
def test_parquet_files_that_cannot_be_used(capsys, folder, write, table, options, message):
    write(table)
    status, out, err = run(capsys, "train", "data.parquet", "--model", "m.npz", *options.split())
    assert (status, out) == (3, "")
    assert err.startswith("fastsoftmax: data.parquet: ")
    assert message in err
    assert not (folder / "m.npz").exists()


def test_what_is_no_parquet_file_or_cannot_be_read(capsys, folder, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (folder / "csv.parquet").write_text("a,b\n1,2\n")
    for name, message in (("csv", "not a .parquet file, or a damaged one: "), ("none", "No such file or directory")):
        status, _, err = run(capsys, "train", f"{name}.parquet", "--model", "m.npz")
        assert (status, err.count("\n")) == (3, 1)
        assert err.startswith(f"fastsoftmax: {name}.parquet: {message}")
    for package in ("pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, package, None)
        status, _, err = run(capsys, "train", "csv.parquet", "--model", "m.npz")
        assert (status, "takes the packages pandas and pyarrow" in err) == (3, True), package


def test_labels_that_json_does_not_have_and_large_ones(folder):
    """Bytes become text, and float64 that no int64 holds stay what they are."""
    for y, classes in (
        ([b"a", b"b", b"a"], ["a", "b"]),
        (np.array(["2026-01-01", "2026-01-02", "2026-01-01"], "M8[D]"), ["2026-01-01", "2026-01-02"]),
        ([1.0, 3.0, 1.0], [1, 3]),
        ([1e17, 3e17, 1e17], [1e17, 3e17]),
    ):
        np.savez("data.npz", X=np.eye(3), y=y)
        data = load("data.npz")
        assert data.classes.tolist() == classes
        assert data.y.tolist() == [0, 1, 0]
        assert json.dumps(data.classes.tolist())


def test_text_that_is_bytes(capsys, write):
    """As Spark and Impala write it."""
    table = columns(colour=np.array([b"red", b"blue", b"gr\xc3\xbcn"], object)[Y])
    write({**table, "kind": np.array([b"a", b"b", b"c"], object)[Y]})
    data = load("data.parquet")
    assert data.feature_names[3:] == ["colour=blue", "colour=gr\u00fcn", "colour=red"]
    assert data.classes.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(["2026-01-01", "NaT", "2026-01-02"], "M8[D]"), "y[1] is NaT: each sample must have a label"),
        (np.array([1, 2, "NaT"], "m8[s]"), "y[2] is NaT: each sample must have a label"),
        ([1j, 2, 3], "labels must be text or whole numbers, got complex128"),
        (np.array([(1,), (2,), (1,)], [("kind", "i4")]), "labels must be text or whole numbers, got [('kind', '<i4')]"),
    ],
    ids=["no time", "no duration", "complex", "records"],
)
def test_labels_that_are_none(capsys, folder, y, message):
    np.savez("data.npz", X=np.eye(3), y=y)
    status, out, err = run(capsys, "train", "data.npz", "--model", "m.npz")
    assert (status, out, err) == (3, "", f"fastsoftmax: data.npz: {message}\n")


def test_arrays_and_sparse_files_without_features(capsys, folder):
    fs.SoftmaxClassifier().fit(X, Y).save("m.npz")
    np.savez("vector.npz", X=np.ones(4))
    (folder / "labels.svmlight").write_text("# nothing\n")
    for arguments, message in (
        (("predict", "m.npz", "vector.npz"), "vector.npz: X must have shape (n_samples, n_features), got (4,)"),
        (("train", "labels.svmlight", "--model", "x.npz"), "labels.svmlight: no samples with features"),
    ):
        status, out, err = run(capsys, *arguments)
        assert (status, out, err) == (3, "", f"fastsoftmax: {message}\n")
