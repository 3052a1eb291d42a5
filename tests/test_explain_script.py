"""The page's scripts, run by V8 with a small imitation of a browser (dom.js): what they draw, say and answer to."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_explain_page import VOID, check_explanations, check_numbers, data_of

from fastsoftmax.cli.explain_page import explain_page

py_mini_racer = pytest.importorskip("py_mini_racer", reason="mini-racer, which is V8, is not installed")
DOM = (Path(__file__).parent / "dom.js").read_text("utf-8")
HAS_FOCUS = ("a", "input", "button")


class Tree(HTMLParser):
    """A page as [name, attributes, children]."""

    def __init__(self):
        super().__init__()
        self.open = [["#root", {}, []]]

    def handle_starttag(self, tag, attributes):
        node = [tag, dict(attributes), []]
        self.open[-1][2].append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attributes):
        self.open[-1][2].append([tag, dict(attributes), []])

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        self.open[-1][2].append(data)


class Page:
    """The page after its scripts have run."""

    def __init__(self, *sizes):
        tree = Tree()
        tree.feed(explain_page(*sizes))
        *_, script = (text for (text,) in (node[2] for node in walk(tree.open[0]) if node[0] == "script"))
        self.browser = py_mini_racer.MiniRacer()
        self.browser.eval(DOM)
        self.browser.eval(f"document.append(grown({json.dumps(tree.open[0])}));")
        self.browser.eval(script + "\nnull")  # an error in it is raised here

    def tell(self, expression):
        """The value of an expression."""
        return json.loads(self.browser.eval(f"JSON.stringify({expression})"))

    def nodes(self, *names):
        """All elements as [name, attributes, children], or those of a name."""
        return [node for node in walk(self.tell("plain(document)")) if not names or node[0] in names]

    def find(self, **attributes):
        """The element with such an attribute."""
        ((key, value),) = attributes.items()
        (found,) = [node for node in self.nodes() if node[1].get(key.replace("_", "-")) == value]
        return found

    def entries(self, *words):
        """The entries that elements of a class show."""
        shown = [node[1] for node in self.nodes() if "data-entry" in node[1]]
        return {attributes["data-entry"] for attributes in shown if set(words) & set(attributes["class"].split())}

    def send(self, element, event, **properties):
        """An event at the element that a JavaScript expression gives."""
        self.browser.eval(f"send({element}, {json.dumps(event)}, {json.dumps(properties)}); null")


def walk(node):
    yield node
    for child in node[2]:
        if not isinstance(child, str):
            yield from walk(child)


def text_of(node):
    return "".join(child if isinstance(child, str) else text_of(child) for child in node[2])


def cell(entry):
    """In JavaScript: the cell of a table that shows an entry."""
    return f"document.querySelectorAll('td').find((td) => td.dataset.entry === '{entry}')"


@pytest.mark.parametrize("sizes", [(1, 1, 1), (8, 10, 10), (2, 4, 3)])
def test_each_number_of_any_sizes_is_shown(sizes):
    page = Page(*sizes)
    cells = [(node[1]["data-entry"], text_of(node)) for node in page.nodes("td") if "data-entry" in node[1]]
    (diagram,) = page.nodes("svg")[:1]
    check_numbers(sizes, cells, [node[1]["data-entry"] for node in walk(diagram) if "data-entry" in node[1]])


def test_it_says_how_each_number_comes_about():
    nodes = Page(3, 2, 4).nodes("td")
    check_explanations({node[1]["data-entry"]: node[1]["aria-label"] for node in nodes if "aria-label" in node[1]})


def test_what_has_focus_has_a_name_and_ids_are_unique():
    page = Page(2, 4, 3)
    nodes = page.nodes()
    ids = [node[1]["id"] for node in nodes if "id" in node[1]]
    assert len(ids) == len(set(ids))
    focusable = [node for node in nodes if node[0] in HAS_FOCUS or node[1].get("tabindex", "-1") != "-1"]
    assert len(focusable) > 60
    labelled = {id(inner) for node in page.nodes("label") for inner in walk(node)}
    for node in [*focusable, *(node for node in nodes if node[0] in ("svg", "canvas", "pre"))]:
        name = node[1].get("aria-label") or text_of(node).strip()
        in_label = node[0] == "input" and node[1]["type"] == "radio"
        assert name or in_label, node
    assert labelled
    for node in page.nodes("a"):
        assert node[1]["href"][1:] in ids, node
    grids = [node for node in nodes if node[1].get("role") == "grid"]
    assert len(grids) > 20
    for grid in grids:
        assert grid[1]["aria-label"]
        assert [inner[1].get("tabindex") for inner in walk(grid)].count("0") == 1
    for label in page.nodes("label"):
        assert any(node[0] == "input" for node in walk(label))
        assert text_of(label).strip()


def test_the_sliders():
    page = Page()
    for classes, batch, n_classes, n_samples in ((9, 5, 1000, 512), (0, 0, 2, 1), (2, 1, 5, 2)):
        page.browser.eval(f"byId('classes').value = {classes}; byId('batch').value = {batch}; null")
        page.send("byId('classes')", "input")
        assert page.find(id="classes")[1]["aria-valuetext"] == f"{n_classes} classes"
        assert page.find(id="batch")[1]["aria-valuetext"] == f"{n_samples} samples"
        assert text_of(page.find(id="square-shape")) == f"({n_samples}, {n_classes}, {n_classes})"
        square = page.find(id="square")[1]
        assert square["aria-label"] == f"The Jacobian of one sample: {n_classes} by {n_classes} entries"
        assert page.tell("[byId('square').painted.width, byId('square').painted.height]") == [n_classes, n_classes]
        assert page.tell("[byId('strip').painted.width, byId('strip').painted.height]") == [n_classes, 1]
        for row, naive, fast in (
            ("numbers", n_samples * n_classes**2, n_samples * n_classes),
            ("operations", n_samples * (4 * n_classes**2 - n_classes), n_samples * (4 * n_classes - 1)),
        ):
            assert text_of(page.find(id=f"{row}-naive")) == f"{naive:,}"
            assert text_of(page.find(id=f"{row}-fast")) == f"{fast:,}"
            assert text_of(page.find(id=f"{row}-times")) == f"{n_classes:,} ×"
        assert float(re.search(r"differ by (\S+) at most", text_of(page.find(id="said")))[1]) < 1e-15
        if n_classes == 1000:
            assert [text_of(page.find(id=f"bytes-{way}")) for way in ("naive", "fast")] == ["4.096 GB", "4.096 MB"]


def test_the_diagonal_of_the_painted_jacobian_has_the_colour_of_positive_numbers():
    page = Page()
    page.send("byId('classes')", "input")
    pixels = np.array(page.tell("[...byId('square').painted.data]")).reshape(10, 10, 4)
    blue = pixels[..., 2] > pixels[..., 0]
    np.testing.assert_array_equal(blue, np.eye(10, dtype=bool))
    assert (pixels[..., 3] == 255).all()


def test_an_entry_in_focus_shows_what_it_is_made_of():
    page = Page(2, 4, 3)
    assert "hidden" in page.find(id="tip")[1]
    page.browser.eval(f"{cell('Z,0,1')}.focus()")
    title, made = (text_of(child) for child in page.find(id="tip")[2])
    assert title == "Z[n = 0, c = 1] = −0.03"
    assert made == "= 1.4 × 0 + 0.6 × 0.2 + 0 × 1 + (−0.9) × 0.5 + 0.3"
    assert page.entries("source") == {f"X,0,{d}" for d in range(4)} | {f"W,1,{d}" for d in range(4)} | {"b,1"}
    assert page.entries("hot") == {"Z,0,1"}
    page.send("document.activeElement", "keydown", key="Escape")
    assert "hidden" in page.find(id="tip")[1]
    assert page.entries("source", "hot") == set()


def test_arrow_keys_go_through_a_table_and_stop_at_its_borders():
    page = Page(2, 4, 3)
    table = f"{cell('J,1,0,0')}.closest('table')"
    page.browser.eval(f"const table = {table}; table.querySelectorAll('td')[0].focus()")
    for key, at in (
        ("ArrowDown", [1, 0]), ("ArrowRight", [1, 1]), ("ArrowUp", [0, 1]), ("ArrowUp", [0, 1]), ("ArrowLeft", [0, 0]),
        ("ArrowLeft", [0, 0]), ("x", [0, 0]),
    ):  # fmt: skip
        page.send("document.activeElement", "keydown", key=key)
        entry = page.tell("document.activeElement.dataset.entry").split(",")
        assert [int(n) for n in entry[-2:]] == at, key
        assert page.tell("table.querySelectorAll('td').filter((td) => td.tabIndex === 0).length") == 1


def test_following_a_sample_dims_the_others():
    page = Page(3, 2, 2)
    choose = "document.querySelectorAll('input').find((radio) => radio.value === '{}')"
    page.send(choose.format(1), "change")
    with_samples = [key for key, step in data_of(explain_page(3, 2, 2))["steps"].items() if step["axes"][:1] == ["N"]]
    dim = {tuple(entry.split(",")[:2]) for entry in page.entries("dim")}
    assert dim == {(key, n) for key in with_samples for n in "02"} - {(k, n) for k in ("fast2", "inner2") for n in "02"}
    page.send(choose.format("all"), "change")
    assert page.entries("dim") == set()
