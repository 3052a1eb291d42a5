"""Loading data sets: scikit-learn's, .csv, .npz and made ones; a bad file is one line that says what and where."""

import numpy as np
import pytest
from helpers import rng

from fastsoftmax.cli.datasets import BUNDLED, DataError, load, many_classes


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
        ("a,b,y\n1,2,x\n3,four,y\n", None, "data.csv: line 3, column 2 (b) is not a number: 'four'"),
        ("a,b,y\n1,2,x\n3,,y\n", None, "data.csv: line 3, column 2 (b) is missing: ''"),
        ("1,2,x\n3,nan,y\n", None, "data.csv: line 2, column 2 is missing: 'nan'"),
        ("1,2,x\n3,inf,y\n", None, "data.csv: line 2, column 2 is inf: features must be finite and below 1e+30"),
        ("1,2,x\n3,1e300,y\n", None, "data.csv: line 2, column 2 is 1e300: features must be finite and below 1e+30"),
        ("1,,x\n3,4,y\n", None, "data.csv: line 1, column 2 is missing: ''"),
        ("1,2,x\n3,4,\n", None, "data.csv: line 2, column 3 is empty: each sample must have a label"),
        ("1,2,0.5\n3,4,1\n", None, "data.csv: a label is 0.5: labels must be text or whole numbers"),
        ("1,2,x\n3,4,x\n", None, "data.csv: all labels are x: there must be at least two classes"),
        ("y\nx\nz\n", None, "data.csv: one column only: there must be features and a label, separated by commas"),
        (b"1,\xff\xfe\x00\x81", None, "data.csv: not a CSV text: line 1 is not UTF-8 (byte ff): save it as UTF-8"),
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


def classes_of(tmp_path, labels, **more):
    """The number of the class of each label in a file of one feature."""
    text = "x,kind\n" + "".join(f"{row},{label}\n" for row, label in enumerate(labels))
    return load(written(tmp_path, text), **more).y.tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1_1", "11", "1_1"], [1, 0, 1]),
        (["9007199254740993", "9007199254740992", "9007199254740993"], [1, 0, 1]),
        (["01", "1", "001", "1"], [1, 2, 0, 2]),
        (["1E2", "100", "1e2"], [1, 0, 2]),
        (["1.0", "1", "1.0"], [1, 0, 1]),
        (["+1", "-1", "1"], [0, 1, 2]),
        (["10", "9", "-3", "0"], [3, 2, 0, 1]),  # integers, by size
        ([str(10**40 + 1), str(10**40), "2"], [2, 1, 0]),
        (["٣", "3", "٣"], [1, 0, 1]),  # a digit of another script is text
        (["1\x00", "1", "1\x00"], [1, 0, 1]),
        (["a", "A", "a"], [1, 0, 1]),
        (["-0", "0", "-0"], [0, 1, 0]),
    ],
)
def test_labels_are_text_unless_all_are_plain_integers(tmp_path, labels, expected):
    assert classes_of(tmp_path, labels) == expected


@pytest.mark.parametrize("cell", ["1_5", "١٫٥", "٣", "1e", "0x10", "1,5", "１", "1 5", "--1", "1e+_2"])
def test_a_feature_that_only_python_or_nobody_takes_for_a_number(tmp_path, cell):
    with pytest.raises(DataError, match=r"line 3, column 2 \(b\) is not a number"):
        load(written(tmp_path, f'a,b,y\n1,2,x\n3,"{cell}",y\n'))


@pytest.mark.parametrize("cell", ["1.5", "+1.5", "15e-1", ".15E+1", "1.5e0", " 1.5 "])
def test_features_as_people_write_them(tmp_path, cell):
    assert load(written(tmp_path, f"a,y\n{cell},x\n-2.,z\n")).X.tolist() == [[1.5], [-2.0]]


COUNTED = "0,1,2,kind\n0.1,1,5,x\n3,4,6,y\n5,6,7,x\n"
NUMBERED = "400,410,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n"  # wavelengths
LETTERS = "1,2,x\n3,4,y\n5,6,x\n7,8,y\n"


@pytest.mark.parametrize(
    ("text", "options", "n_samples"),
    [
        (COUNTED, {}, 3),
        ("0,1,2,3\n0.1,1,5,0\n3,4,6,1\n5,6,7,2\n", {}, 3),
        ("0,1,2,3\n0.1,1,5,3\n3,4,6,1\n5,6,7,2\n", {}, 3),  # though 3 is a label, too
        ("0,kind\n1,x\n3,y\n", {}, 2),
        (",0,1,kind\n0,1,2,x\n1,3,4,y\n", {}, 2),  # pandas' to_csv with its index
        (LETTERS, {}, 4),
        (LETTERS, {"header": True}, 3),
        (COUNTED, {"header": True}, 3),
        (NUMBERED, {"header": True}, 4),
        (NUMBERED, {"label": "kind"}, 4),
        ("0,1\n1,0\n0,0\n", {"header": False}, 3),
        ("1,2,0\n3,4,1\n5,6,0\n", {}, 3),
        ("1,2,2\n3,4,1\n5,6,2\n", {"label": "2"}, 3),
    ],
)
def test_names_that_are_numbers(tmp_path, text, options, n_samples):
    data = load(written(tmp_path, text), **options)
    assert (len(data.X), data.n_classes) == (n_samples, len(set(data.y)))


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (NUMBERED, None, "line 1 may have names or be a sample: its label 'kind' is on no other line"),
        (NUMBERED, "2", "line 1 may have names or be a sample"),
        (NUMBERED + "1,1,rare\n", None, "line 1 may have names or be a sample"),
        ("1,2,3\n1.5,2,a\n1.1,3,b\n1.2,4,a\n1.7,5,b\n", None, "line 1 may have names or be a sample: its label '3'"),
        ("2019,2020,2021\n1.5,2,0\n1.1,3,1\n1.2,4,0\n", None, "line 1 may have names or be a sample"),
        ("0,1\n1,0\n0,1\n", None, "line 1, 0,1, may count the columns or be a sample"),
        ("3,2,1\n0,1,0\n5,6,1\n", "2", "'2' stands in line 1, column 2: it is that column's name or"),
    ],
)
def test_what_cannot_be_told_is_asked(tmp_path, text, label, message):
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, text), label)
    assert message in str(caught.value)
    assert "--header yes or --header no" in str(caught.value)


GOOD = "1.5,2,a\n1.1,3,b\n1.2,4,a\n1.7,5,b\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",1.5,a\n3,4,b\n5,6,a\n7,8,b\n", "line 1, column 1 is missing: ''"),
        (",2,a\n" + GOOD, "line 1, column 1 is missing: ''"),
        ("1,?,a\n" + GOOD, "line 1, column 2 is missing: '?'"),
        (GOOD + "1,?,a\n", "line 5, column 2 is missing: '?'"),
        (GOOD + '1,2,"a\n' + GOOD, "is there a quote that is not closed?"),
        (GOOD + '1,2,"a\n' + GOOD + '1,2,b"\n' + GOOD, "line 10 ends a cell of several lines"),
        ('x,y,"kind\n' + GOOD, "is there a quote that is not closed?"),
    ],
)
def test_no_sample_is_lost_without_a_word(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, text))
    assert message in str(caught.value)


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(DataError, match="2 columns are called 'b'"):
        load(written(tmp_path, "a,b,b\n1,2,3\n4,5,6\n"), "b")


def test_blanks_around_a_label_do_not_count_and_everything_else_does(tmp_path):
    assert classes_of(tmp_path, ["a", " a\t", "\u00a0a", "a\x1c"]) == [0, 0, 2, 1]


def test_names_come_before_positions(tmp_path):
    path = written(tmp_path, "2,b,c\n0,10,7\n1,20,8\n")
    assert load(path, "2").X.tolist() == [[10, 7], [20, 8]]  # the first column is called 2
    assert load(path, "1").X.tolist() == [[0, 7], [1, 8]]
    numbers = written(tmp_path, "3,2,1\n0,1,0\n5,6,1\n")
    assert load(numbers, "2", header=True).X.tolist() == [[0, 0], [5, 1]]
    assert load(numbers, "2", header=False).X.tolist() == [[3, 2], [0, 1], [5, 6]]
    with pytest.raises(DataError, match="no label column '3'"):
        load(numbers, "3", header=False)
