"""Loading data sets: scikit-learn's, .csv, .npz and made ones; a bad file is one line that says what and where."""

import numpy as np
import pytest
from helpers import rng

from fastsoftmax.datasets import BUNDLED, DataError, load, many_classes


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled(name):
    data = load(name)
    assert data.name == name
    assert data.X.shape[0] == data.y.shape[0] > 100
    assert set(data.y) == set(range(data.n_classes))


def written(tmp_path, text, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a,b,kind\n1,2,x\n3,4,y\n5,6,x\n", None),
        ("1,2,x\n3,4,y\n5,6,x\n", None),
        ("\ufeffkind,a,b\r\nx,1,2\r\n\r\ny,3,4\r\nx,5,6", "kind"),
        ("x,1,2\ny,3,4\nx,5,6\n", "0"),
        ('1, "x" ,2\n3,y,4\n5,x,6\n', "1"),
        ("0,label,1\n1,x,2\n3,y,4\n5,x,6\n", "label"),
        ("0,1,kind\n1,2,7\n3,4,8\n5,6,7\n", None),
        ("2020,x,kind\n1,2,7\n3,4,8\n5,6,7\n", None),
    ],
    ids=[
        "header",
        "no header",
        "named",
        "position",
        "quoted",
        "numbers as names",
        "a label that is text",
        "a feature that is text",
    ],
)
def test_csv(tmp_path, text, label):
    data = load(written(tmp_path, text), label)
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(data.y, [0, 1, 0])
    assert (data.name, data.n_classes) == ("data", 2)


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("", None, "data.csv: empty"),
        ("\n\n", None, "data.csv: empty"),
        ("a,b,y\n1,2,x\n3,x\n", None, "data.csv: line 3 has 2 columns, the first has 3"),
        ("a,b,y\n1,2,x\n3,4,y\n", "kind", "data.csv: no label column 'kind': line 1 has a, b, y"),
        ("a,b,y\n1,2,x\n3,4,y\n", "7", "data.csv: no label column '7': line 1 has a, b, y"),
        ("a,y\n", None, "data.csv: line 1 has the names of the columns, and nothing follows"),
        ("a,b,y\n1,2,x\n3,four,y\n", None, "data.csv: line 3, column 2 is not a number: 'four'"),
        ("a,b,y\n1,2,x\n3,,y\n", None, "data.csv: line 3, column 2 is not a number: ''"),
        ("1,2,x\n3,nan,y\n", None, "data.csv: line 2, column 2 is nan: features must be finite and below 1e+30"),
        ("1,2,x\n3,1e300,y\n", None, "data.csv: line 2, column 2 is 1e300: features must be finite and below 1e+30"),
        ("1,,x\n3,4,y\n", None, "data.csv: line 1, column 2 is not a number: ''"),
        ("1,2,x\n3,4,\n", None, "data.csv: line 2, column 3 is empty: each sample must have a label"),
        ("1,2,0.5\n3,4,1\n", None, "data.csv: a label is 0.5: labels must be text or whole numbers"),
        ("1,2,x\n3,4,x\n", None, "data.csv: all labels are x: there must be at least two classes"),
        ("y\nx\nz\n", None, "data.csv: one column only: there must be features and a label, separated by commas"),
        (b"\xff\xfe\x00\x81", None, "data.csv: not a CSV text"),
    ],
)
def test_a_bad_csv_is_said_in_one_line(tmp_path, text, label, message):
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, text), label)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_npz(tmp_path):
    X, y = rng().standard_normal((6, 3)), np.array(["b", "a", "b", "c", "a", "c"])
    np.savez(tmp_path / "mine.npz", X=X.astype(np.float32), y=y)
    data = load(str(tmp_path / "mine.npz"))
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.y, [1, 0, 1, 2, 0, 2])
    np.savez(tmp_path / "mine.npz", X=np.arange(4).reshape(2, 2), y=[3, 5])
    (tmp_path / "mine.npz").rename(tmp_path / "UPPER.NPZ")
    assert load(str(tmp_path / "UPPER.NPZ")).X.dtype == np.float64


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((3, 2))}, "no array y; it has X"),
        ({"y": np.ones(3)}, "no array X; it has y"),
        ({"X": np.ones((3, 2)), "y": np.ones(2)}, "got (3, 2), (2,)"),
        ({"X": np.ones(3), "y": np.arange(3)}, "got (3,), (3,)"),
        ({"X": np.array([[None], [{}]], object), "y": np.arange(2)}, "not a .npz file of plain arrays"),
        ({"X": np.ones((2, 2), complex), "y": np.arange(2)}, "X must hold real numbers, got complex128"),
        ({"X": np.full((2, 2), np.inf), "y": np.arange(2)}, "X[0, 0] is inf: features must be finite"),
        ({"X": np.ones((2, 2)), "y": np.array([1.0, np.nan])}, "a label is nan"),
    ],
)
def test_a_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "bad.npz"))
    assert message in str(caught.value)


def test_a_damaged_or_missing_file(tmp_path):
    np.savez(tmp_path / "cut.npz", X=np.ones((50, 20)), y=np.arange(50))
    whole = (tmp_path / "cut.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no zip", whole[:300] + b"\0" * 50 + whole[350:]):
        (tmp_path / "cut.npz").write_bytes(damaged)
        with pytest.raises(DataError, match="file of plain arrays"):
            load(str(tmp_path / "cut.npz"))
    with pytest.raises(DataError, match="No such file"):
        load(str(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        load(str(tmp_path / "folder.csv"))
    with pytest.raises(DataError, match="not a data set: iris, wine"):
        load("nothing")


def test_many_classes():
    data = many_classes(30, n_samples=100)
    assert data.X.shape == (100, 16)
    assert set(data.y) == set(range(30))
    assert many_classes(500, n_samples=100).X.shape[0] == 500
    np.testing.assert_array_equal(data.X, many_classes(30, n_samples=100).X)
