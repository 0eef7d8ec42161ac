"""The HTML report in a browser: Debian's chromium, without a screen and without a network."""

import json
import shutil

import numpy as np
import pytest

import fastckpt

pytestmark = pytest.mark.browser

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1500,1100"),
)
HOSTILE = [
    "<script>document.title='owned'</script>",
    "</script><img src=x onerror=\"document.title='owned'\">",
    "a\u202eb",
    "\udcff",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def quiet(request):
    """After each test: the page has said nothing, and asked for nothing but itself."""
    yield
    browser = request.getfixturevalue("browser")
    assert browser.get_log("browser") == []
    messages = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    requests = [
        m["params"]["request"]["url"] for m in messages if "requestWillBeSent" in m["method"]
    ]
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert len({url.partition("#")[0] for url in requests}) <= 1


@pytest.fixture
def show(browser, tmp_path):
    """Return what makes a report and opens it."""

    def show(tensors, other=None, anchor=""):
        fastckpt.write(tmp_path / "m", tensors)
        if other is not None:
            fastckpt.write(tmp_path / "other", other)
        second = None if other is None else tmp_path / "other"
        fastckpt.report(tmp_path / "m", tmp_path / "m.html", other=second)
        browser.get("about:blank")
        browser.get_log("performance")
        browser.get((tmp_path / "m.html").as_uri() + anchor)
        return browser

    return show


def find(browser, selector):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


def texts(browser, selector):
    return [element.text for element in find(browser, selector)]


def press(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def key(name):
    from selenium.webdriver.common.keys import Keys

    return getattr(Keys, name)


def chosen(browser):
    return texts(browser, "#details h2")[0]


def model():
    tensors = {f"enc/layer_{i}/kernel": np.full((40, 40), i, np.float32) for i in range(3)}
    tensors |= {f"enc/layer_{i}/bias": np.arange(40, dtype=np.float16) for i in range(3)}
    tensors["dec/kernel"] = np.linspace(-1, 1, 5000)
    tensors["step"] = np.int64(2**60)
    return tensors


def test_page_shows_what_the_checkpoint_has(show):
    browser = show(model())

    assert browser.title == "m"
    assert texts(browser, "#facts dd") == ["8", "58.1 KiB", "9,921", "V2", "1"]
    assert texts(browser, "#dtypes li")[0] == "float64: 1 tensor, 39.1 KiB"
    assert chosen(browser) == "dec/kernel", "the largest one"
    assert not find(browser, "#alarm:not([hidden]), #diff:not([hidden])")


def test_tree_is_walked_by_keys(show):
    browser = show(model())
    find(browser, "#tree")[0].click()
    press(browser, key("HOME"))

    assert texts(browser, "#tree .row .name")[:3] == ["dec", "kernel", "enc"]
    press(browser, key("ARROW_LEFT"))
    assert texts(browser, "#tree .row .name")[:2] == ["dec", "enc"]
    press(browser, key("ARROW_RIGHT"), key("ARROW_RIGHT"), key("ENTER"))
    assert chosen(browser) == "dec/kernel"
    press(browser, key("END"), key("ENTER"))
    assert chosen(browser) == "step"
    assert "1152921504606846976" in find(browser, "#details")[0].text


def test_search_by_keyboard_finds_text_and_globs(show):
    browser = show(model())
    press(browser, "/")
    press(browser, "BIAS")

    assert texts(browser, "#found") == ["3 tensors, 240 B"]
    press(browser, key("ARROW_DOWN"), key("ENTER"))
    assert chosen(browser) == "enc/layer_1/bias"
    press(browser, key("ESCAPE"))
    assert texts(browser, "#found") == [""]
    assert browser.switch_to.active_element.get_attribute("id") == "tree"

    press(browser, "/")
    press(browser, "enc/*_[2]/*")
    assert texts(browser, "#found") == ["No name matches."], "brackets are themselves"
    press(browser, key("ESCAPE"), "/")
    press(browser, "enc/*_?/k*")
    assert texts(browser, "#found") == ["3 tensors, 18.8 KiB"]


def test_treemap_opens_folders_and_chooses_tensors(show):
    browser = show(model())
    label = next(each for each in find(browser, "#boxes span") if each.text.startswith("enc/"))

    label.click()

    assert texts(browser, "#trail")[0].split()[0] == "all"
    assert "enc" in texts(browser, "#trail")[0]
    labels = [each.get_attribute("aria-label") for each in find(browser, "#boxes button")]
    assert any(label.startswith("enc/layer_2\n2 tensors") for label in labels)
    leaf = next(
        e for e in find(browser, "#boxes button") if "layer_2/kernel" in e.get_attribute("title")
    )
    leaf.click()
    assert chosen(browser) == "enc/layer_2/kernel"
    find(browser, "#trail button")[0].click()
    assert texts(browser, "#trail") == ["all, 58.1 KiB"]


def test_boxes_have_areas_in_proportion_to_bytes(show):
    sizes = [6000, 3000, 2000, 1000, 500]
    browser = show({f"t{size}": np.zeros(size, np.uint8) for size in sizes})

    areas = [each.size["width"] * each.size["height"] for each in find(browser, "#boxes button")]

    whole = sum(areas)
    for area, size in zip(areas, sizes, strict=True):
        assert area / whole == pytest.approx(size / sum(sizes), abs=0.01)


def test_histogram_is_drawn_of_the_chosen_tensor(show):
    browser = show({"a": np.repeat([0.0, 1, 2, 10], [5, 3, 1, 1])})

    bars = find(browser, "#details svg .bar")

    counts = fastckpt.stats(find_prefix(browser))["a"].histogram.counts
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert [height > 0 for height in heights] == [count > 0 for count in counts]
    assert heights[0] == pytest.approx(99)


def find_prefix(browser):
    return texts(browser, "#path")[0]


def test_nan_and_infinities_are_flagged(show):
    bad = np.ones((3, 3), np.float32)
    bad[0, 0], bad[1, 1] = np.nan, -np.inf
    browser = show({"good": np.ones(100), "deep/er/bad": bad})

    assert texts(browser, "#alarm h2") == ["1 tensor with NaN or infinities"]
    assert "1 NaN, 1 Inf" in texts(browser, "#tree .badge")
    find(browser, "#alarm button")[0].click()
    assert chosen(browser) == "deep/er/bad"


def test_differences_are_listed_and_filtered(show):
    first = {"same": np.ones(2), "gone": np.zeros(5), "old": np.arange(7.0), "other": np.ones(3)}
    second = {"same": np.ones(2), "new": np.arange(7.0), "other": np.zeros(3)}
    browser = show(first, second)

    assert texts(browser, "#diff h2") == ["3 differences, 1 tensor the same"]
    assert texts(browser, "#filters button") == ["all 3", "changed 1", "renamed 1", "removed 1"]
    find(browser, "#filters button")[2].click()
    assert texts(browser, "#differences .row .name") == ["old"]
    find(browser, "#differences .row")[0].click()
    assert chosen(browser) == "old"
    find(browser, "#filters button")[1].click()
    find(browser, "#differences .row")[0].click()
    assert "values differ by up to 1" in texts(browser, "#details .changed")[0]


def test_hostile_names_are_text(show):
    browser = show({name: np.ones(i + 1) for i, name in enumerate(HOSTILE)})
    for i in range(len(HOSTILE)):
        find(browser, "#tree .row")[i].click()

    assert browser.title == "m"
    shown = " ".join(texts(browser, "#tree .row .name"))
    assert "a\\u202eb" in shown and "\\xff" in shown and "<script>" in shown
    assert not find(browser, "#tree img, #tree script")


def test_link_to_a_tensor_opens_it(show):
    browser = show(model(), anchor="#enc%2Flayer_1%2Fkernel")

    assert chosen(browser) == "enc/layer_1/kernel"


def test_hundred_thousand_tensors_keep_the_page_small(show):
    browser = show({f"b{i // 500}/{i}": np.zeros(1, np.uint8) for i in range(100_000)})
    press(browser, "/")
    press(browser, "b199/")

    assert texts(browser, "#found") == ["500 tensors, 500 B"]
    assert len(find(browser, "*")) < 4000
    find(browser, "#tree")[0].click()
    press(browser, key("END"), key("ENTER"))
    assert chosen(browser) == "b199/99999"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(show, scheme):
    browser = show(model(), model())
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    ratios = browser.execute_script(CONTRAST)

    assert len(ratios) > 20
    assert min(ratios) >= 4.5, "WCAG AA"


CONTRAST = """
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const luminance = (rgb) =>
      [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * linear(rgb[i] / 255), 0);
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (e) => {
      for (; e; e = e.parentElement) {
        const colour = parse(getComputedStyle(e).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
      }
    };
    return [...document.querySelectorAll("p, dt, dd, li, h1, h2, span, button, kbd")]
      .filter((e) => e.checkVisibility() && e.textContent.trim() && !e.children.length)
      .map((e) => {
        const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      });
"""


@pytest.mark.parametrize("width", [380, 1500])
def test_page_does_not_scroll_sideways(show, width):
    browser = show({**model(), "x" * 3000: np.ones(2), "y/" * 150 + "z": np.ones(3)}, model())
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    overflow = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert overflow <= 0
