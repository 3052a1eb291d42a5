"""The page in headless Chromium, if it is there: usable by keyboard and by screen readers, readable, no error."""

import re
import shutil

import pytest
from test_explain_page import check_explanations, check_numbers, data_of

from fastsoftmax.cli.explain_page import explain_page


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
        check_numbers(sizes, cells, seen(browser, "#diagram [data-entry]"))


def test_browser_says_how_each_number_comes_about(open_page):
    """What stands behind the colon, computed with the rounded numbers that it shows."""
    browser = open_page(3, 2, 4)
    script = "return [...document.querySelectorAll('td[aria-label]')].map((td) => [td.dataset.entry, td.ariaLabel])"
    check_explanations(dict(browser.execute_script(script)))


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
