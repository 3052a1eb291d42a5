"""The page: well-formed, without network, with the numbers of reference.py; and in Chromium, if it is there, usable."""

import json
import math
import os
import re
import shutil
from html.parser import HTMLParser

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium, without network, at a page of its own profile."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("chromium and chromedriver are not both installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "window-size=1280,900",
                 f"user-data-dir={tmp_path_factory.mktemp('profile')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens the page of some sizes; at the end the console must be empty and nothing have been asked for."""

    def open_it(*sizes):
        path = tmp_path / "page.html"
        path.write_text(explain_page(*sizes), "utf-8")
        browser.get(path.as_uri())
        return browser

    yield open_it
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def find(browser, selector):
    return browser.find_element("css selector", selector)


def seen(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map((made) => made.dataset.entry)"
    return [entry for entry in browser.execute_script(script, selector) if entry]


def test_browser_shows_each_number_of_any_sizes(open_page):
    for sizes in ((1, 1, 1), (8, 10, 10), (2, 4, 3)):
        browser = open_page(*sizes)
        cells = browser.execute_script(
            "return [...document.querySelectorAll('td[data-entry]')].map((td) => [td.dataset.entry, td.textContent])"
        )
        steps = data_of(explain_page(*sizes))["steps"]
        for entry, text in cells:
            key, *index = entry.split(",")
            value = np.array(steps[key]["value"])[tuple(map(int, index))]
            assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.005001), entry
        assert {entry.split(",")[0] for entry, _ in cells} == steps.keys() - {"fast2", "inner2"}
        drawn = {entry.split(",")[0] for entry in seen(browser, "#diagram [data-entry]")}
        assert drawn == {"X", "W", "b", "Z", "P", "Y", "L", "dP", "J", "dZ", "dW", "db", "dX"}


def test_browser_says_how_each_number_comes_about(open_page):
    """What stands behind the colon, computed with the rounded numbers that it shows."""
    browser = open_page(3, 2, 4)
    script = "return [...document.querySelectorAll('td[aria-label]')].map((td) => [td.dataset.entry, td.ariaLabel])"
    said = dict(browser.execute_script(script))
    told = set()
    for label in said.values():
        _, value, how = re.fullmatch(r"(.*) = (\S+?)(?:: (.*))?", label.replace("−", "-").replace("×", "*")).groups()
        if how and "label" not in how:
            computed = eval(re.sub(r"log ([\d.]+)", r"log(\1)", how), {"exp": math.exp, "log": math.log})
            assert computed == pytest.approx(float(value), rel=2e-3, abs=2e-4), label
            told.add(label.split(" =")[0].split("[")[0])
    assert told == {"Z", "P", "L", "∂L/∂P", "J", "s", "∂L/∂Z", "outer", "∂L/∂W", "∂L/∂b", "∂L/∂X"}
    assert len(said) > 150


def test_browser_slider_by_keyboard(open_page):
    browser = open_page()
    slider, batch = find(browser, "#classes"), find(browser, "#batch")
    for keys, sample_keys, n_classes, n_samples in (
        ("\ue010", "\ue010", 1000, 512),  # End
        ("\ue011", "\ue011", 2, 1),  # Home
        ("\ue014" * 2, "\ue014", 5, 2),  # arrow right
    ):
        slider.send_keys(keys)
        batch.send_keys(sample_keys)
        assert slider.get_attribute("aria-valuetext") == f"{n_classes} classes"
        assert find(browser, "#square-shape").text == f"({n_samples}, {n_classes}, {n_classes})"
        assert find(browser, "#strip-shape").text == f"({n_samples}, {n_classes})"
        square = find(browser, "#square")
        assert (square.get_property("width"), square.get_property("height")) == (n_classes, n_classes)
        assert square.accessible_name == f"The Jacobian of one sample: {n_classes} by {n_classes} entries"
        assert find(browser, "#strip").get_property("height") == 1
        for row, naive, fast in (
            ("numbers", n_samples * n_classes**2, n_samples * n_classes),
            ("operations", n_samples * (4 * n_classes**2 - n_classes), n_samples * (4 * n_classes - 1)),
        ):
            assert find(browser, f"#{row}-naive").text == f"{naive:,}"
            assert find(browser, f"#{row}-fast").text == f"{fast:,}"
            assert find(browser, f"#{row}-times").text == f"{n_classes:,} ×"
        difference = re.search(r"differ by (\S+) at most", find(browser, "#said").text)[1]
        assert float(difference) < 1e-15
        if n_classes == 1000:
            assert [find(browser, f"#bytes-{way}").text for way in ("naive", "fast")] == ["4.096 GB", "4.096 MB"]


def test_browser_hover_and_focus_show_what_an_entry_is_made_of(open_page):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = open_page(2, 4, 3)
    tip = find(browser, "#tip")
    assert not tip.is_displayed()
    cell = find(browser, "#forward-Z td[data-entry='Z,0,1']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    ActionChains(browser).move_to_element(cell).perform()
    assert tip.text.splitlines()[0] == "Z[n = 0, c = 1] = −0.03"
    assert tip.text.splitlines()[1] == "= 1.4 × 0 + 0.6 × 0.2 + 0 × 1 + (−0.9) × 0.5 + 0.3"
    made_of = {f"X,0,{d}" for d in range(4)} | {f"W,1,{d}" for d in range(4)} | {"b,1"}
    assert set(seen(browser, "#forward-Z .source")) == set(seen(browser, "#diagram .source")) == made_of
    ActionChains(browser).move_to_element(find(browser, "h2")).perform()
    assert not tip.is_displayed()

    first = find(browser, "#naive td[data-entry='J,1,0,0']")
    assert first.get_attribute("tabindex") == "0"
    browser.execute_script("arguments[0].focus()", first)
    browser.switch_to.active_element.send_keys("\ue015\ue014")  # arrows down and right
    assert browser.switch_to.active_element.get_attribute("data-entry") == "J,1,1,1"
    assert tip.text.startswith("J[n = 1, i = 1, j = 1] = 0.2079\n= 0.2948 × (1 − 0.2948)")
    assert browser.switch_to.active_element.accessible_name == tip.text.replace("\n=", ":")
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert not tip.is_displayed()
    box = find(browser, "a.box[aria-label^='J,']")
    browser.execute_script("arguments[0].focus()", box)
    assert tip.text.splitlines()[:2] == ["J, Jacobian", "n = 0"]
    assert "0.15" in tip.text
    assert box.get_attribute("aria-describedby") == "tip"


def test_browser_follows_a_sample(open_page):
    browser = open_page(3, 2, 2)
    find(browser, "#follow input[value='1']").send_keys(" ")
    dim = {tuple(entry.split(",")[:2]) for entry in seen(browser, ".dim")}
    with_samples = [key for key, step in data_of(explain_page(3, 2, 2))["steps"].items() if step["axes"][:1] == ["N"]]
    assert dim == {(key, n) for key in with_samples for n in "02"} - {(k, n) for k in ("fast2", "inner2") for n in "02"}
    find(browser, "#follow input[value='all']").send_keys(" ")
    assert seen(browser, ".dim") == []


def test_browser_names_all_that_has_focus(open_page):
    browser = open_page(2, 4, 3)
    focusable = browser.find_elements("css selector", "a[href], input, button, [tabindex]:not([tabindex='-1'])")
    assert len(focusable) > 60
    for element in [*focusable, *browser.find_elements("css selector", "svg, canvas, table, pre")]:
        assert element.accessible_name or element.get_attribute("class") == "cost", element.get_attribute("outerHTML")
    find(browser, "#diagram a").send_keys("")
    order = []
    for _ in range(13):
        order.append(browser.switch_to.active_element.accessible_name.split(",")[0])
        browser.switch_to.active_element.send_keys("\ue004")  # Tab
    assert order == ["X", "W", "b", "Z", "P", "Y", "L", *("∂L/∂P", "J", "∂L/∂Z", "∂L/∂X", "∂L/∂W", "∂L/∂b")]
    assert browser.switch_to.active_element.get_attribute("name") == "sample"
    for grid in browser.find_elements("css selector", "[role=grid]"):
        assert len(grid.find_elements("css selector", "td[tabindex='0']")) == 1


LITTLE_CONTRAST = """
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const part = (x) => ((x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (made) => {
    const colour = getComputedStyle(made).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? behind(made.parentElement) : colour;
  };
  return [...document.querySelectorAll("p, li, a[href]:not(.box), h1, h2, h3, h4, td, th, code, .axis, b")]
    .filter((made) => made.namespaceURI.endsWith("xhtml") && !made.closest("#tip"))
    .map((made) => [made, ...[luminance(getComputedStyle(made).color), luminance(behind(made))].sort((a, b) => b - a)])
    .filter(([, light, dark]) => (light + 0.05) / (dark + 0.05) < 4.5)
    .map(([made]) => made.outerHTML);
"""


def test_browser_is_readable_light_and_dark_and_on_a_telephone(open_page):
    browser = open_page(2, 4, 3)
    backgrounds = set()
    for scheme in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        backgrounds.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        assert browser.execute_script(LITTLE_CONTRAST) == []
    assert len(backgrounds) == 2
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
