"""The page: well-formed, without network, with the numbers of reference.py. Its scripts: test_explain_script.py."""

import json
import math
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

import fastsoftmax as fs
from fastsoftmax import reference
from fastsoftmax.cli.explain_page import explain_page
from fastsoftmax.cli.main import main

VOID = {"meta", "link", "input", "br"}


class Tags(HTMLParser):
    """All start tags; each must be closed, in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()


def parsed(page):
    parser = Tags()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser.tags


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def check_numbers(sizes, cells, drawn):
    """Tables have the numbers of all steps, rounded, and the diagram those of the main way; entries are "J,0,1,2"."""
    steps = data_of(explain_page(*sizes))["steps"]
    for entry, text in cells:
        key, *index = entry.split(",")
        value = np.array(steps[key]["value"])[tuple(map(int, index))]
        assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.005001), entry
    assert {entry.split(",")[0] for entry, _ in cells} == steps.keys() - {"fast2", "inner2"}
    in_diagram = {"X", "W", "b", "Z", "P", "Y", "L", "dP", "J", "dZ", "dW", "db", "dX"}
    assert {entry.split(",")[0] for entry in drawn} == in_diagram


def check_explanations(said):
    """What stands behind the colon of each entry's label, computed with the rounded numbers that it shows."""
    told = set()
    for label in said.values():
        _, value, how = re.fullmatch(r"(.*) = (\S+?)(?:: (.*))?", label.replace("−", "-").replace("×", "*")).groups()
        if how and "label" not in how:
            computed = eval(re.sub(r"log ([\d.]+)", r"log(\1)", how), {"exp": math.exp, "log": math.log})
            assert computed == pytest.approx(float(value), rel=2e-3, abs=2e-4), label
            told.add(label.split(" =")[0].split("[")[0])
    assert told == {"Z", "P", "L", "∂L/∂P", "J", "s", "∂L/∂Z", "outer", "∂L/∂W", "∂L/∂b", "∂L/∂X"}
    assert len(said) > 150


def test_it_is_well_formed():
    tags = parsed(explain_page())
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    assert sum(tag == "math" for tag, _ in tags) >= 15
    assert "@" not in re.sub(r"X @ W|G\.T @ X|G @ W|u @ j|@media", "", explain_page()), "a place is not filled in"


def test_nothing_comes_from_elsewhere():
    page = explain_page()
    assert set(re.findall(r"\w+://[^\s\"']*", page)) == {"http://www.w3.org/2000/svg"}  # the name of SVG
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|import\(|//cdn", page)
    assert set(re.findall(r"url\((.*?)\)", page)) == {"#head"}
    for tag, attributes in parsed(page):
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith(("#", "data:,")), tag


@pytest.mark.parametrize("sizes", [(2, 4, 3), (1, 1, 1), (3, 2, 5)])
def test_its_numbers_are_those_of_the_reference(sizes):
    data = data_of(explain_page(*sizes, random_state=3))
    assert tuple(data["sizes"].values()) == sizes
    value = {key: np.array(step["value"]) for key, step in data["steps"].items()}
    X, weight, labels = value["X"], value["W"], np.array(data["labels"])
    logits = reference.dense(X, weight, value["b"])
    probs, targets = reference.softmax(logits), reference.one_hot(labels, sizes[2])
    loss, grad_logits = reference.cross_entropy_value_and_grad(logits, labels)
    grad_X, grad_weight, grad_bias = reference.dense_vjp(X, weight, grad_logits)
    grad_probs = reference.grad_probs("cross_entropy", probs, labels)
    squared = reference.grad_probs("squared_error", probs, labels)
    grad_squared = reference.squared_error_value_and_grad(logits, labels)[1]
    expected = {
        "X": X, "W": weight, "b": value["b"], "Z": logits, "P": probs, "Y": targets, "L": loss, "dP": grad_probs,
        "J": reference.softmax_jacobian(probs), "naive": grad_logits, "fast": grad_logits, "dZ": grad_logits,
        "inner": (grad_probs * probs).sum(axis=1), "outer": np.einsum("nc,nd->ncd", grad_logits, X),
        "dW": grad_weight, "db": grad_bias, "dX": grad_X, "dP2": squared, "naive2": grad_squared, "fast2": grad_squared,
        "inner2": (squared * probs).sum(axis=1),
    }  # fmt: skip
    assert value.keys() == expected.keys()
    letters = dict(zip("NDC", sizes, strict=True))
    for key, numbers in expected.items():
        np.testing.assert_allclose(value[key], numbers, rtol=1e-12, atol=1e-15, err_msg=key)
        assert value[key].shape == tuple(letters[axis] for axis in data["steps"][key]["axes"])


def test_the_one_call_at_the_end_gives_the_gradients():
    page = explain_page()
    steps = data_of(page)["steps"]
    given = {"fs": fs, "labels": data_of(page)["labels"], **{key: np.array(steps[key]["value"]) for key in "XWb"}}
    exec(re.search(r"<code>(.*?)</code>", page, re.DOTALL)[1], given)
    for key, found in (("L", given["L"]), ("dW", given["grads"].weight), ("db", given["grads"].bias)):
        np.testing.assert_allclose(found, steps[key]["value"], rtol=1e-12, err_msg=key)


def test_sizes_out_of_range():
    for sizes, name in (((0, 1, 1), "n_samples must be at least 1"), ((1, 1, 11), "n_classes must be at most 10")):
        with pytest.raises(ValueError, match=name):
            explain_page(*sizes)


def test_the_command_writes_the_file(tmp_path, capsys):
    path = tmp_path / "page.html"
    path.write_text("before")
    assert main(["explain", "--html", str(path), "--samples", "3", "--seed", "1"]) == 0
    assert path.read_text("utf-8") == explain_page(3, 4, 3, 1)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"{path}: \d\d kB, to be opened in a browser\n", err)
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_file_that_cannot_be_written(tmp_path, capsys):
    path = tmp_path / "page.html"
    path.write_text("before")
    for arguments, message in (
        (["--html", str(tmp_path)], "is a folder"),
        (["--html", ""], "--html needs the name of a file"),
        (["--html", str(path), "--classes", "11"], "--classes goes up to 10 with --html"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["explain", *arguments])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
    for name in ("missing/page.html", "page.html/page.html"):
        assert main(["explain", "--html", str(tmp_path / name)]) == 1
        assert re.fullmatch(rf"fastsoftmax: {tmp_path / name}: (No such file|Not a) .*\n", capsys.readouterr().err)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["page.html"]


CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "msubsup": 3}


def test_its_formulas_are_well_formed_mathml():
    """As XML, and each element has as many children as it needs: a browser shows an error in red instead."""
    page = explain_page()
    formulas = re.findall(r"<!-- (.*?) -->\n\s*(<math .*?</math>)", page)
    assert len(formulas) == page.count("<math ") >= 15  # each has its text before it
    for text, formula in formulas:
        for made in ElementTree.fromstring(formula).iter():
            assert len(made) == CHILDREN.get(made.tag, len(made)), (text, made.tag)
            assert (made.text or "").strip() == "" or not len(made), (text, made.tag)
