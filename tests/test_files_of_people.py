"""Files as people have them: what is read of them, and what is said of those that cannot be."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
from test_cli import run

import fastsoftmax as fs
from fastsoftmax.cli.datasets import load

ROWS = [(5.1, 3.5, "red", "yes"), (6.2, 2.9, "blue", "no"), (4.7, 3.2, "red", "yes"), (6.9, 3.1, "green", "no")] * 8
HEAD = "length,width,colour,kind"


def text_of(separator=",", head=HEAD, ends="\n", decimal=".", rows=ROWS):
    lines = [head.replace(",", separator)] if head else []
    lines += [separator.join(str(cell).replace(".", decimal) for cell in row) for row in rows]
    return ends.join(lines) + ends


def write(folder, content, name="data.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    "content",
    [
        text_of(),
        text_of(head=""),
        text_of(";", decimal=","),
        text_of(";", head="", decimal=","),
        text_of("\t"),
        text_of("\t", decimal=","),
        text_of("|"),
        "sep=;\n" + text_of(";"),
        text_of(ends="\r\n"),
        text_of(ends="\r"),
        ("\ufeff" + text_of(";", decimal=",")).encode(),
        text_of("\t", ends="\r\n").encode("utf-16"),  # Excel's "Unicode text"
        text_of().replace("red", '" red"').replace("length", '"length"'),
        "\n" + text_of().replace("\n", "\n\n"),
        text_of(ends=",\n"),
        text_of(ends=",\n").replace(",\n", "\n", 1),
        text_of(";", ends=";\r\n", decimal=","),
        text_of() + ",,,\n,,,\n",
        text_of(ends="\r\n") + "\x1a",
    ],
    ids=["plain", "no names", "semicolons", "the same without names", "tabs", "tabs, decimal commas", "bars", "sep=",
         "Windows", "old Mac", "BOM", "UTF-16", "quotes", "empty lines", "separators behind",
         "behind all but the names", "semicolons behind", "lines of commas at the end", "Ctrl-Z"],
)  # fmt: skip
def test_csv_as_people_have_it(folder, content):
    write(folder, content)
    data = load("data.csv")
    assert data.X[:4].tolist() == [[5.1, 3.5, 0, 0, 1], [6.2, 2.9, 1, 0, 0], [4.7, 3.2, 0, 0, 1], [6.9, 3.1, 0, 1, 0]]
    assert len(data.X) == len(ROWS)
    assert [str(data.classes[k]) for k in data.y[:4]] == ["yes", "no", "yes", "no"]
    assert data.feature_names[2:] in (
        ["colour=blue", "colour=green", "colour=red"],
        ["column 3=blue", "column 3=green", "column 3=red"],
    )
    assert "is a category of 3: blue, green, red (one feature each)" in data.notes[0]


def test_commas_in_quotes_and_separators_in_texts(folder):
    write(folder, 'place,x,kind\n"Paris, France",1,a\n"Bonn; Germany",2,b\n"Paris, France",3,a\n')
    assert load("data.csv").feature_names == ["place=Bonn; Germany", "place=Paris, France", "x"]
    write(folder, "place;x;kind\nParis, France;1;a\nBonn, Germany;2;b\n")
    assert load("data.csv").feature_names[0] == "place=Bonn, Germany"
    write(folder, "x,y,tags\n1,2,a;b\n3,4,b;c\n")  # one semicolon in each line but the first
    assert load("data.csv").classes.tolist() == ["a;b", "b;c"]
    write(folder, "1,2,a;b\n3,4,b;c\n5,6,a;b\n")  # and in each line
    assert load("data.csv").X.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_tables_of_texts_alone(folder):
    """As the mushrooms of UCI's repository: with names, and without."""
    rows = ["p,x,s", "e,x,y", "e,b,s", "p,b,y"] * 3
    write(folder, "\n".join(["class,shape,surface", *rows]))
    assert load("data.csv", "class").X.shape == (12, 4)
    write(folder, "\n".join(rows))
    assert load("data.csv", "0").X.shape == (12, 4)
    write(folder, "class,shape\np,x\ne,y\n")
    status = "line 1, class,shape, may have names or be a sample"
    with pytest.raises(ValueError, match=status):
        load("data.csv")
    assert load("data.csv", header=True).X.shape == (2, 2)


@pytest.mark.parametrize("head", ["", "shape,surface\n"])
def test_samples_of_texts_alone_without_labels(capsys, folder, head):
    """Names are told from samples by whether they occur again."""
    write(folder, "\n".join(["x,s,poisonous", "x,y,edible", "b,s,edible", "b,y,edible"] * 5))
    assert run(capsys, "train", "data.csv", "--model", "m.npz", "--test-size", "0")[0] == 0
    write(folder, head + "\n".join(["x,s", "x,y", "b,s", "b,y"] * 3), "new.csv")
    status, out, err = run(capsys, "predict", "m.npz", "new.csv")
    assert (status, answers(out)) == (0, ["poisonous", "edible", "edible", "edible"] * 3), err


def test_samples_without_names_and_with_more_columns(capsys, folder):
    write(folder, text_of())
    assert run(capsys, "train", "data.csv", "--model", "m.npz", "--drop", "colour")[0] == 0
    write(folder, "5.1,3.5,1.5,yes\n6.2,2.9,2.5,no\n", "new.csv")
    status, out, err = run(capsys, "predict", "m.npz", "new.csv", "--header", "no")
    assert (status, out) == (3, ""), err
    assert err == "fastsoftmax: new.csv: 3 features besides the label column number 3, but the model has 2\n"


def test_compare_tells_of_categories(capsys, folder):
    write(folder, text_of())
    status, _, err = run(capsys, "compare", "--dataset", "data.csv", "--epochs", "1", "--repeats", "1")
    assert status == 0
    assert "column 'colour' is a category of 3: blue, green, red (one feature each)" in err


def answers(text):
    return [row[0] for row in list(csv.reader(io.StringIO(text)))[1:]]


def test_a_model_finds_its_columns_by_name(capsys, folder):
    write(folder, text_of())
    assert run(capsys, "train", "data.csv", "--model", "m.npz")[0] == 0
    model = fs.SoftmaxClassifier.load("m.npz")
    assert list(model.feature_names_in_) == ["length", "width", "colour=blue", "colour=green", "colour=red"]
    expected = [row[3] for row in ROWS]
    assert answers(run(capsys, "predict", "m.npz", "data.csv")[1]) == expected
    shuffled = [(colour, "n1", width, length) for length, width, colour, _ in ROWS]
    write(folder, text_of(";", "colour,id,width,length", decimal=",", rows=shuffled), "new.csv")
    status, out, err = run(capsys, "predict", "m.npz", "new.csv")
    assert (status, answers(out), err) == (0, expected, "new.csv: left out: id\n")
    write(folder, text_of(head="", rows=[row[:3] for row in ROWS]), "bare.csv")
    assert answers(run(capsys, "predict", "m.npz", "bare.csv", "--header", "no")[1]) == expected


def test_columns_that_are_left_out(capsys, folder):
    rows = [(f"flower {n}", *row) for n, row in enumerate(ROWS)]
    write(folder, text_of(head=f"id,{HEAD}", rows=rows))
    _, _, err = run(capsys, "train", "data.csv", "--model", "m.npz")
    assert "'id' is a category of 32: flower 0, flower 1, flower 10, flower 11, ... (one feature each); no two" in err
    status, out, _ = run(capsys, "train", "data.csv", "--model", "m.npz", "--drop", "id,colour", "--json")
    assert (status, json.loads(out)["n_features"]) == (0, 2)
    assert answers(run(capsys, "predict", "m.npz", "data.csv")[1]) == [row[3] for row in ROWS]
    write(folder, text_of(head="", rows=[(row[2], n, *row[:2], row[3]) for n, row in enumerate(ROWS)]))
    assert run(capsys, "train", "data.csv", "--model", "m.npz", "--drop", "0,1", "--json")[0] == 0
    assert list(fs.SoftmaxClassifier.load("m.npz").feature_names_in_) == ["column 3", "column 4"]
    assert answers(run(capsys, "predict", "m.npz", "data.csv")[1]) == [row[3] for row in ROWS]


@pytest.mark.parametrize("name", ["[cm]", "{cm}", "[bold]length", "#length", "@length", "length=cm", "'length'"])
def test_names_that_begin_as_other_formats_do(folder, name):
    write(folder, text_of(head=HEAD.replace("length", name)))
    assert load("data.csv").feature_names[0] == name


def test_columns_of_one_name_are_two_columns(capsys, folder):
    """A model took the last of them for each."""
    rows = [(k % 2, 7 * k % 5, 3, "yes" if k % 2 else "no") for k in range(40)]
    write(folder, text_of(head="size,size,size.1,kind", rows=rows))
    assert run(capsys, "train", "data.csv", "--model", "m.npz", "--alpha", "0.01")[0] == 0
    assert list(fs.SoftmaxClassifier.load("m.npz").feature_names_in_) == ["size", "size.2", "size.1"]
    status, out, err = run(capsys, "predict", "m.npz", "data.csv")
    assert (status, answers(out), err) == (0, [row[3] for row in rows], "data.csv: left out: kind\n")
    _, _, err = run(capsys, "train", "data.csv", "--model", "m.npz", "--drop", "size")
    assert "--drop size: no such column, or more than one: there are size, size.2, size.1, kind" in err
    assert run(capsys, "train", "data.csv", "--model", "m.npz", "--drop", "size.2,size.1")[0] == 0
    assert list(fs.SoftmaxClassifier.load("m.npz").feature_names_in_) == ["size"]


IDS = text_of(head=f"id,{HEAD}", rows=[(f"n{k}", *row) for k, row in enumerate(ROWS * 4)])
BAD = [
    ("an empty file", "", "empty"),
    ("a spreadsheet by another name", b"PK\x03\x04\x14\0", "not a CSV text: a zip archive, as spreadsheets are"),
    ("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1", "not a CSV text: a spreadsheet: save it as CSV"),
    ("compressed", gzip.compress(text_of().encode()), "not a CSV text: compressed: unpack it"),
    ("a web page", "<!DOCTYPE html><html>", "not a CSV text: a web page or XML"),
    *[("JSON", text, "not a CSV text: JSON") for text in ('[{"a": 1}]', '{"a": [1]}', "[\n  [1, 2]\n]", "[]")],
    ("Latin-1", text_of().replace("blue", "bl\u00e9").encode("latin-1"), "line 3 is not UTF-8 (byte e9): save it as "),
    ("UTF-32", text_of().encode("utf-32"), "not a CSV text: it has NULs, as UTF-32"),
    ("UTF-16 without its mark", text_of().encode("utf-16-le"), "it has NULs, as UTF-32 has, or UTF-16"),
    ("commas behind a sample", text_of(head="", ends=",\n"), "line 1, column 5 is empty: each sample "),
    ("no label at all", text_of().replace("yes", "").replace("no", ""), "line 2, column 4 (kind) is empty: each "),
    ("a line of commas between", text_of() + ",,,\n5.0,3.0,red,yes\n", "line 34, column 4 (kind) is empty: each "),
    ("names alone", HEAD + "\n", "line 1 has the names of the columns, and nothing follows"),
    ("one column", "kind\nyes\nno\n", "one column only: there must be features and a label"),
    ("a gap", text_of() + "5.0,,red,yes\n", "line 34, column 2 (width) is missing: ''. Fill it in, or leave "),
    ("NA", text_of().replace("2.9", "NA", 1), "line 3, column 2 (width) is missing: 'NA'"),
    ("a question mark", text_of().replace("blue", "?", 1), "line 3, column 3 (colour) is missing: '?'"),
    ("no label", text_of() + "5.0,3.0,red,\n", "line 34, column 4 (kind) is empty: each sample must have a label"),
    ("a cell too many", text_of() + "5.0,3.0,red,yes,\n", "line 34 has 5 columns, the first has 4"),
    ("an open quote", text_of() + '5.0,3.0,"red,yes\n' + text_of(head=""), "is there a quote that is not closed?"),
    ("a word among numbers", text_of().replace("2.9", "two", 1), "line 3, column 2 (width) is not a number: 'two'"),
    ("thousands", text_of().replace("2.9", '"2,900"', 1), "line 3, column 2 (width) is not a number: '2,900'"),
    ("percents", text_of().replace("3.5", "35%").replace("2.9", "29%").replace("3.2", "32%").replace("3.1", "31%"),
     "line 2, column 2 (width) is not a number: '35%'"),
    ("commas and points", text_of(";", decimal=",") + "5.5;3,0;red;yes\n", "line 34, column 1 is 5.5, but others "),
    ("too large", text_of() + "1e300,3.0,red,yes\n", "line 34, column 1 (length) is 1e300: features must be finite"),
    ("one class", text_of().replace("yes", "no"), "all labels are no: there must be at least two classes"),
    ("a regression", "a,b,price\n1,2,0.5\n2,3,0.7\n", "a label is 0.5: labels must be text or whole numbers"),
    ("numbers of samples as text", IDS, "column 'id' has 128 different texts, a category 100 at the most: "),
    ("a book in a cell", f"text,kind\n{150_000 * 'x'},1\n", "not a CSV text: line 2: field larger than field limit"),
    ("a category of another column's name", text_of(head="colour=red,width,colour,kind"),
     "two features would be called 'colour=red': give a column another name, or leave it out"),
    ("two of a name", text_of(head="length,kind,colour,kind"), None),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_file_that_cannot_be_used_is_one_line_and_status_3(capsys, folder, content, message):
    write(folder, content)
    more = () if message else ("--label", "kind")
    status, out, err = run(capsys, "train", "data.csv", "--model", "m.npz", *more)
    assert (status, out) == (3, ""), err
    assert err.startswith("fastsoftmax: data.csv: ")
    assert (message or "2 columns are called 'kind': name the label column by its position") in err
    assert err.count("\n") == 1
    assert not (folder / "m.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("train data.xlsx --model x", 2, "'data.xlsx' is none of iris, wine, breast_cancer, digits, and no path "),
        ("train data.csv --model x --drop nothing", 3, "--drop nothing: no such column, or more than one: "),
        ("train data.csv --model x --drop kind", 3, "data.csv: --drop names the label column, 'kind'"),
        ("train data.csv --model x --drop 0,1,2", 3, "data.csv: no feature is left"),
        ("train iris --model x --drop a", 2, "--drop goes with a .csv or .parquet file"),
        ("predict m.npz purple.csv", 3, "line 34, column 3 (colour) is 'purple': the model knows blue, green, red"),
        ("predict m.npz less.csv", 3, "less.csv: no column 'width', which the model knows: there are length"),
        ("predict m.npz folder.csv", 3, "folder.csv: Is a directory"),
    ],
)  # fmt: skip
def test_other_bad_files_and_columns(capsys, folder, arguments, status, message):
    write(folder, text_of())
    write(folder, text_of() + "5.0,3.0,purple,yes\n", "purple.csv")
    write(folder, text_of(head="length,colour,kind", rows=[(row[0], *row[2:]) for row in ROWS]), "less.csv")
    (folder / "folder.csv").mkdir()
    assert run(capsys, "train", "data.csv", "--model", "m.npz")[0] == 0
    found, out, err = run(capsys, *arguments.split())
    assert (found, out) == (status, ""), err
    assert message in err


def test_an_exported_model_has_its_categories_as_features(capsys, folder):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    write(folder, text_of())
    assert run(capsys, "train", "data.csv", "--model", "m.npz")[0] == 0
    assert run(capsys, "export", "m.npz", "m.onnx")[0] == 0
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    X = load("data.csv").X
    assert session.run(None, {session.get_inputs()[0].name: X})[0].tolist() == [row[3] for row in ROWS]
    assert np.isfinite(X).all()
