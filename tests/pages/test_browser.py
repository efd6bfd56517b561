"""The page in a real browser; skipped without playwright (the extra ``browser``) or Chromium."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.analysis.activations import FEATURES, follow
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS
from grucli.nn.model import read_layer
from grucli.pages import build
from grucli.pages.build import html, payload, rounded
from grucli.run.report import report
from grucli.run.run import Run
from tests.conftest import TINY, Grucli
from tests.nn.test_adding_a_cell import source
from tests.pages.models import KINDS, language_model, some_ids

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("default"),  # of the driver
]

NEAR = 1e-9
SECONDS = 30
"""To wait for anything."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


class Opened:
    """A page in a tab, with everything that it reported or asked for."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.reports: list[str] = []
        tab.on("console", lambda message: self.reports.append(message.text))
        tab.on("pageerror", lambda error: self.reports.append(str(error)))
        tab.on("dialog", lambda dialog: self.reports.append("dialog"))
        tab.on("request", self._request)

    def _request(self, request: Any) -> None:
        if not request.url.startswith("file:"):
            self.reports.append(request.url)

    def until(self, expression: str) -> None:
        """Wait until an expression is true; the page's policy lets no driver wait inside it."""
        ends = time.monotonic() + SECONDS
        while not self.tab.evaluate(expression):
            assert time.monotonic() < ends, expression
            self.tab.wait_for_timeout(20)

    def wait(self) -> str:
        """Wait for the check of the page by itself, and return what it says."""
        self.until("document.getElementById('proof').className !== ''")
        return str(self.tab.evaluate("document.documentElement.dataset.selftest"))

    def written(self) -> str:
        """Wait until the page has stopped writing; the text in the box."""
        self.until("document.getElementById('go').getAttribute('aria-disabled') === 'false'")
        return str(self.tab.input_value("#draft"))

    def text(self, selector: str) -> str:
        return str(self.tab.inner_text(selector))


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    contexts = []

    def show(content: str, width: int = 1000, scheme: str = "light") -> Opened:
        file = tmp_path / "page.html"
        file.write_text(content, "utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = Opened(context.new_page())
        page.tab.goto(file.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()


def page_of(lm: LanguageModel, passage: str | None = None) -> str:
    text = lm.decode(some_ids(lm, 120, seed=2)) if passage is None else passage
    content = payload(lm, some_ids(lm), "float32")
    return html(
        content | about("A model that writes like a test", "It is small.", text, "Text", "a test")
    )


def about(title: str, subtitle: str, passage: str, *fact: str) -> dict[str, Any]:
    said = {"title": title, "subtitle": subtitle, "facts": [fact]}
    return {"about": said, "passage": passage}


# ---- numbers


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("kind", "L"), [("text", 1), ("list", 2)])
def test_log_probs_in_the_browser_are_numpys(opened: Any, cell: str, kind: str, L: int) -> None:
    lm = language_model(kind, cell, L)
    page = opened(page_of(lm))
    assert page.wait() == "passed"
    text = lm.decode(some_ids(lm, 150, seed=3))
    found = page.tab.evaluate("text => window.grucli.logProbs(text)", text)
    exact = rounded(lm, "float32")
    np.testing.assert_allclose(found, exact.score(text).log_probs, atol=NEAR)
    assert page.reports == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_vocabulary_passes(opened: Any, kind: str) -> None:
    page = opened(page_of(language_model(kind)))
    assert page.wait() == "passed"
    page.written()
    assert page.reports == []


def _flip(content: str) -> str:
    """Change one character within the weights."""
    start = content.index('"weights":"') + 11
    middle = start + 400
    return content[:middle] + ("A" if content[middle] != "A" else "B") + content[middle + 1 :]


DAMAGES = {
    "a weight": _flip,
    "weights cut short": lambda c: c.replace('"weights":"', '"weights":"AAAA', 1),
    "number of units": lambda c: c.replace('"H":12', '"H":11', 1),
    "another cell": lambda c: c.replace('"cell":"gru"', '"cell":"gru-after"', 1),
    "a symbol's number": lambda c: c.replace('"proof":{"ids":[', '"proof":{"ids":[3,', 1),
    "type of the weights": lambda c: c.replace('"type":"float32"', '"type":"float16"', 1),
    "not JSON": lambda c: c.replace('{"cell"', '{cell"', 1),
    "the script": lambda c: c.replace(
        "0.5 * (1 + Math.tanh(0.5 * x))", "0.5 * (1 + Math.tanh(x))", 1
    ),
    "the check itself": lambda c: c.replace("const NEAR = 1e-9", "const NEAR = 1e+9", 1),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_says_failed(opened: Any, name: str) -> None:
    whole = page_of(language_model())
    damaged = DAMAGES[name](whole)
    assert damaged != whole
    page, ends = opened(damaged), time.monotonic() + SECONDS
    while not (page.reports or page.tab.evaluate("document.getElementById('proof').className")):
        assert time.monotonic() < ends
        page.tab.wait_for_timeout(20)
    assert page.tab.evaluate("document.documentElement.dataset.selftest") == "failed"
    assert "✗" in page.text("#proof")


# ruff: noqa: E501
WRONG = {
    "update gate": ("dh[i] * (n[i] - h_prev[i]) * z[i] * (1 - z[i])), w.W_h[0]", "dh[i] * z[i]), w.W_h[0]"),
    "direct route": ("dh[i] * (1 - z[i]))],", "dh[i])],"),
    "candidate": ("multiply(rh, w.W_h[2], a[2]).map(Math.tanh)", "multiply(rh, w.W_h[2], a[2]).map(sigmoid)"),
    "separator": ("id === this.separator ? this.zeroState() : before", "before"),
    "first symbol": ("Math.max(n, 0.5) / total", "Math.max(n, 0.5) / (1 + total)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_page_with_a_wrong_equation_says_failed(
    opened: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = WRONG[name]
    source = build.source
    assert " ".join(source("grucli.pages", "engine.js").split()).count(" ".join(right.split())) >= 1

    def changed(package: str, file: str) -> str:
        text = source(package, file)
        return text if file != "engine.js" else _replaced(text, right, wrong)

    monkeypatch.setattr(build, "source", changed)
    page = opened(page_of(language_model("list" if name == "separator" else "text")))
    assert page.wait() == "failed"


def _replaced(text: str, right: str, wrong: str) -> str:
    assert text.count(right) == 1
    return text.replace(right, wrong)


# ---- hostile texts

HOSTILE = (
    "</script><script>alert(1)</script>\n<!-- <img src=x onerror=alert(2)> ]]>\"'&amp;&#0;"
    "\x00\x1b[31m"
    "\u2028\u2029\u202eabc\u200f</textarea></style>javascript:alert(3)"
)


def test_a_hostile_text_is_shown_as_text(opened: Any) -> None:
    symbols = sorted({ord(c) for c in HOSTILE} | {10})
    lm = language_model()
    KINDS["this text"] = np.array(symbols)
    try:
        lm = language_model("this text")
    finally:
        del KINDS["this text"]
    content = payload(lm, lm.encode(HOSTILE), "float32")
    page = opened(html(content | about(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)))
    assert page.wait() == "passed"
    assert page.text("h1").startswith("</script><script>alert(1)</script>")
    for tab in ("read", "inside", "gradient"):
        page.tab.click(f"#tab-{tab}")
        page.tab.wait_for_selector(f"#{tab}-strip span")
        assert "<script>alert(1)</script>" in page.text(f"#{tab}-strip")
    assert page.tab.evaluate("document.scripts.length") == 2
    assert page.tab.evaluate("document.images.length") == 0
    assert page.reports == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (800, "dark"), (1600, "light")])
def test_a_hostile_text_is_shown_as_text_in_a_report(
    opened: Any, grucli: Grucli, tmp_path: Path, width: int, scheme: str
) -> None:
    text = tmp_path / "<script>alert(1)<.txt"
    text.write_text(f"some words {HOSTILE}\n" * 100, "utf-8")
    run = grucli("train", text, "--steps", "30", *TINY, "-q").out.strip()
    page = opened(report(run, said=[HOSTILE]).html, width, scheme)
    assert "<script>alert(1)</script>" in page.text("body")
    assert page.tab.evaluate("document.scripts.length") == 1
    assert len(page.tab.query_selector_all("svg polyline")) == 9
    colours = "span => getComputedStyle(span).backgroundColor"
    spans = page.tab.query_selector_all(".surprise span")
    assert len({span.evaluate(colours) for span in spans}) > 3  # the policy lets the style in
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    assert page.reports == []


def test_the_curves_of_a_report_show_their_numbers(
    opened: Any, grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps", "30", *TINY, "-q").out.strip())
    page = opened(report(run).html)
    (_, validation) = Run(run).curves("chars")
    assert not page.tab.is_visible(".by-chars svg")
    page.tab.check("#by-chars")
    assert not page.tab.is_visible(".by-step svg")
    page.tab.focus(".by-chars svg")
    page.tab.keyboard.press("End")
    shown = page.text(".by-chars .numbers")
    assert shown.startswith(f"{int(validation.x[-1]):,} characters · training ")
    assert f"validation {float(f'{validation.y[-1]:.5g}')}" in shown
    assert "(at" not in shown
    page.tab.keyboard.press("Home")
    assert page.text(".by-chars .numbers") != shown
    page.tab.hover(".by-chars svg")
    assert "validation" in page.text(".by-chars .numbers")
    page.tab.check("#by-step")
    page.tab.focus(".by-step svg")
    page.tab.keyboard.press("Home")
    training, validation = Run(run).curves()
    first, later = int(training.x[0]), int(validation.x[0])
    assert first < later
    assert page.text(".by-step .numbers").startswith(f"step {first} · ")
    assert page.text(".by-step .numbers").endswith(f"(at {later})")  # it was not measured here
    page.tab.check("#by-chars")
    page.tab.mouse.move(0, 0)
    page.tab.focus("#by-chars")
    assert page.text(".by-chars .numbers") == ""
    assert page.reports == []


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, each as "rgb(r, g, b)" (WCAG 2.1)."""

    def luminance(colour: str) -> float:
        parts = np.array([float(n) for n in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


STRONGEST = """selector => {
  const style = getComputedStyle(document.querySelector(selector));
  return [style.color, style.backgroundColor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_can_be_read(opened: Any, grucli: Grucli, text_file: Path, scheme: str) -> None:
    run = grucli("train", text_file, "--steps", "10", *TINY, "-q").out.strip()
    page = opened(report(run).html, 360, scheme)
    page.tab.evaluate("document.querySelector('.surprise span').className = 'level-12'")
    assert contrast(*page.tab.evaluate(STRONGEST, ".surprise span")) >= 4.5
    paper = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    soft = page.tab.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert contrast(soft, paper) >= 4.5
    for chart in page.tab.query_selector_all("figure > svg"):
        if chart.is_visible():
            assert chart.query_selector("text").bounding_box()["height"] >= 9
    for label in page.tab.query_selector_all(".losses label"):
        assert label.bounding_box()["height"] < 30  # a button and its word are on one line
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_comparison_shows_all_of_its_table(opened: Any, grucli: Grucli, text_file: Path) -> None:
    options = ("--steps", "10", "-q", *TINY, "--name", "a-rather-long-name-for-a-run")
    many = ("model.dropout=0.1", "optim.lr=0.001", "optim.eps=1e-6", "optim.clip=2")
    others = [part for one in many for part in ("--set", one)]
    runs = [grucli("train", text_file, *options, *more).out.strip() for more in ((), others)]
    page = opened(report(*runs).html, 700)
    name = page.tab.query_selector(".runs tbody th")
    assert name.bounding_box()["height"] < 40  # on one line
    for width, media in ((360, "screen"), (700, "print")):
        page.tab.set_viewport_size({"width": width, "height": 800})
        page.tab.emulate_media(media=media)
        for cell in page.tab.query_selector_all(".runs tbody th, .runs td"):
            box = cell.bounding_box()
            assert box["x"] + box["width"] <= width
        assert page.tab.is_visible(".axes") == (media == "screen")
    style = "getComputedStyle(document.querySelector('h2'))"
    assert page.tab.evaluate(f"{style}.printColorAdjust") == "exact"
    assert page.tab.evaluate(f"{style}.breakAfter") == "avoid"


def test_a_model_of_bytes_writes_and_reads_any_bytes(opened: Any) -> None:
    page = opened(page_of(language_model("byte"), passage="é 漢 \U0001f600 \udcff"))
    assert page.wait() == "passed"
    assert page.text("#length-noun") == "Bytes"
    page.written()
    page.tab.click("#tab-read")
    page.tab.wait_for_selector("#read-strip span")
    assert "\\xc3" in page.text("#read-strip")
    assert page.reports == []


def test_a_box_of_the_page_has_the_line_ends_of_the_training_text(opened: Any) -> None:
    lm = language_model("byte")
    lm.counts[[10, 13]] = 20, 19  # of a text with the line ends of Windows
    page = opened(page_of(lm, passage="ab\r\ncd\r\n"))
    page.written()
    page.tab.click("#tab-read")
    page.until("document.querySelectorAll('#read-strip span').length === 8")
    bits = -lm.score("ab\r\nce\r\n").log_probs / np.log(2)
    page.tab.click("#read summary")
    page.tab.fill("#read .source textarea", "ab\nce\n")
    page.until(f"document.getElementById('read-totals').textContent.includes('{bits.sum():.1f}')")
    page.tab.click("#tab-write")
    page.tab.fill("#draft", "ab\nce\n")
    page.tab.fill("#length", "5")
    page.tab.fill("#seed", "1")
    page.tab.fill("#top-k", "1")
    page.tab.click("#go")
    now = page.written()
    made = lm.sample(5, prompt="ab\r\nce\r\n", top_k=1, echo=False)
    assert now == f"ab\nce\n{made}".replace("\r\n", "\n").replace("\r", "\n")
    assert page.reports == []


# ---- what a person does


def test_a_text_is_written_stopped_edited_and_continued(opened: Any) -> None:
    page = opened(page_of(language_model(H=64)))
    assert len(page.written()) == 150
    page.tab.click("#clear")
    assert page.tab.input_value("#draft") == ""
    page.tab.fill("#draft", "Some words")
    page.tab.fill("#length", "100000")
    page.tab.press("#draft", "Control+Enter")
    page.until("document.getElementById('draft').value.length > 40")
    page.tab.click("#stop")
    text = page.written()
    assert text.startswith("Some words")
    assert 40 < len(text) < 100_000
    edited = text[:30] + "HERE"
    page.tab.fill("#draft", edited)
    page.tab.fill("#length", "50")
    page.tab.click("#go")
    assert page.written().startswith(edited)
    assert len(page.written()) == len(edited) + 50
    assert page.reports == []


def test_paragraphs_are_written_with_empty_lines_and_read_so(opened: Any) -> None:
    lm = language_model("paragraphs")
    lm.model.output(lm.model.params).b_c[1] += 20  # ends are likely
    page = opened(page_of(lm, passage="ab\x1ecd e"))
    page.written()
    page.tab.click("#clear")
    page.tab.fill("#draft", "night \n\n\nstone")
    page.tab.fill("#length", "60")
    page.tab.click("#go")
    text = page.written()
    assert text.startswith("night \n\n\nstone")
    assert "\n\n" in text.removeprefix("night \n\n\nstone")
    assert "\x1e" not in text
    assert "paragraph by paragraph" in page.text("#write-lead")
    found = page.tab.evaluate("text => window.grucli.logProbs(text)", "night \n\n\nstone")
    expected = rounded(lm, "float32").score("night\x1estone").log_probs
    np.testing.assert_allclose(found, expected, atol=NEAR)
    page.tab.click("#tab-read")
    page.tab.wait_for_selector("#read-strip span")
    assert "ab␞" in page.text("#read-strip")
    assert page.tab.input_value("#read textarea") == "ab\n\ncd e"
    assert page.reports == []


def written_anew(page: Opened, **fields: str) -> str:
    page.tab.click("#clear")
    for field, value in fields.items():
        page.tab.fill(f"#{field}", value)
    page.tab.click("#go")
    return page.written()


def test_equal_seeds_write_equal_texts(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    texts = [written_anew(page, seed=seed) for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]
    assert "seed 2." in page.text("#write-status")


def test_each_continuation_has_a_seed_of_its_own_that_repeats_it(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    texts = []
    for _ in range(3):
        texts.append(written_anew(page))
        said = re.search(r"seed ([0-9]+)", page.text("#write-status"))
        assert said is not None
    assert len(set(texts)) == 3
    assert written_anew(page, seed=said[1]) == texts[-1]
    assert page.text("#clear") == "Clear"


def test_every_change_of_the_text_has_a_way_back(opened: Any) -> None:
    page = opened(page_of(language_model()))
    first = page.written()
    page.tab.fill("#length", "20")
    page.tab.click("#go")
    second = page.written()
    assert second.startswith(first)
    page.tab.focus("#draft")
    page.tab.keyboard.press("Control+End")
    page.tab.keyboard.type("typed")
    page.tab.click("#clear")
    assert page.tab.input_value("#draft") == ""
    for text in (second + "typed", second, first, ""):
        page.tab.click("#undo")
        assert page.tab.input_value("#draft") == text
    assert page.tab.get_attribute("#undo", "aria-disabled") == "true"
    page.tab.focus("#draft")
    for keys, text in (("Shift+Z", first), ("y", second), ("z", first), ("z", "")):
        page.tab.keyboard.press(f"Control+{keys}")
        assert page.tab.input_value("#draft") == text
    assert page.reports == []


MARKED = "[...document.querySelectorAll('#marks mark')].map((mark) => mark.textContent)"


def test_what_the_model_wrote_is_marked(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    page.tab.fill("#draft", "Mine. ")
    assert page.tab.evaluate(MARKED) == []
    page.tab.fill("#length", "30")
    page.tab.click("#go")
    text = page.written()
    assert page.tab.evaluate(MARKED) == [text[6:]]
    page.tab.click("#go")
    longer = page.written()
    assert page.tab.evaluate(MARKED) == [longer[6:]]
    # arrows, which the model cannot write: a letter that it wrote in the same place stays marked
    edited = f"{longer[:20]}→→→→{longer[25:]}"
    page.tab.fill("#draft", edited)
    assert page.tab.evaluate(MARKED) == [longer[6:20], longer[25:]]
    page.tab.click("#undo")
    assert page.tab.evaluate(MARKED) == [longer[6:]]
    page.tab.click("#clear")
    assert page.tab.evaluate(MARKED) == []


@pytest.mark.parametrize("width", [360, 1000])
def test_the_marks_lie_behind_their_letters(opened: Any, width: int) -> None:
    page = opened(page_of(language_model()), width)
    page.written()
    text = "Some words of a text, " * 20 + "x" * 200 + "\n\n\tafter  a tab" + " " * 150 + "end\n\n"
    page.tab.fill("#draft", text)
    page.tab.fill("#length", "1000")
    page.tab.click("#go")
    page.written()
    for field in ("scrollHeight", "clientWidth", "clientHeight", "scrollTop"):
        both = f"['draft', 'marks'].map((id) => document.getElementById(id).{field})"
        page.until(f"new Set({both}).size === 1")
    assert page.tab.evaluate("document.getElementById('marks').scrollTop") > 0


def test_writing_by_keys_keeps_the_focus(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    page.tab.focus("#go")
    page.tab.keyboard.press("Enter")
    page.written()
    assert page.tab.evaluate("document.activeElement.id") == "go"
    page.tab.fill("#length", "100000")
    page.tab.focus("#go")
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.press("Enter")  # it is writing already
    page.tab.keyboard.press("Escape")
    assert len(page.written()) < 100_000


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740)])
def test_the_first_screen_has_the_text_and_its_button(opened: Any, width: int, height: int) -> None:
    page = opened(page_of(language_model()), width)
    page.tab.set_viewport_size({"width": width, "height": height})
    text = page.written()
    assert 0 < len(text) <= 200
    box = page.tab.query_selector("#go").bounding_box()
    assert box["y"] + box["height"] <= height
    assert "The model wrote all 150 characters" in page.text("#write-status")
    page.tab.fill("#draft", "Mine")
    assert page.text("#write-status") == ""
    page.tab.click("#go")
    page.written()
    assert "The model wrote the last 500 characters" in page.text("#write-status")


def test_a_box_that_is_slow_to_draw_is_drawn_rarely(opened: Any) -> None:
    page = opened(page_of(language_model(H=192)))
    page.written()
    page.tab.evaluate("""() => {
      const value = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
      window.drawn = 0;
      Object.defineProperty(document.getElementById("draft"), "value", {
        get() { return value.get.call(this); },
        set(text) {
          const until = performance.now() + 50;
          while (performance.now() < until);
          window.drawn++;
          value.set.call(this, text);
        },
      });
    }""")
    page.tab.fill("#length", "1000000")
    page.tab.click("#go")
    page.tab.wait_for_timeout(3000)
    assert 2 <= page.tab.evaluate("window.drawn") <= 10
    page.tab.click("#stop")
    page.written()


def test_a_long_text_is_read_with_its_progress(opened: Any) -> None:
    page = opened(page_of(language_model(H=192, L=2)))
    page.written()
    page.tab.fill("#draft", "Some words. " * 3000)
    page.tab.fill("#length", "300")
    page.tab.evaluate("""() => {
      const status = document.getElementById("write-status");
      window.said = [];
      new MutationObserver(() => window.said.push(status.textContent))
        .observe(status, { childList: true });
    }""")
    page.tab.click("#go")
    page.until("window.said.some((text) => /^Reading [0-9,]+ of 36,000/.test(text))")
    page.tab.click("#stop")
    page.written()


def test_numbers_that_are_not_possible_are_corrected(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    wanted = {
        "top-k": ("0", "1"), "top-p": ("-1", "0.01"), "length": ("0", "1"), "seed": ("-5", "0"),
    }  # fmt: skip
    for field, (typed, used) in wanted.items():
        page.tab.fill(f"#{field}", typed)
        page.tab.press(f"#{field}", "Tab")
        assert page.tab.input_value(f"#{field}") == used
        assert f"{typed} is not possible" in page.text("#write .correction")
    page.tab.fill("#length", "")
    page.tab.press("#length", "Tab")
    assert page.tab.input_value("#length") == "500"
    assert page.text("#write .correction") == ""
    page.tab.click("#tab-inside")
    page.tab.fill("#unit", "999")
    page.tab.press("#unit", "Tab")
    assert page.tab.input_value("#unit") == "11"
    assert "unit 11," in page.text("#inside-totals")


def test_a_mark_holds_no_half_of_a_character(opened: Any) -> None:
    lm = language_model("emoji")
    lm.model.output(lm.model.params).b_c[4:] += 20  # no blanks
    page = opened(page_of(lm))
    page.written()
    page.tab.fill("#draft", " ")
    page.tab.fill("#length", "3")
    page.tab.click("#go")
    made = page.written()[1:]
    assert page.tab.evaluate(MARKED) == [made]
    page.tab.fill("#draft", f" \U0001f6ff{made}")  # its first half is that of any other emoji
    assert page.tab.evaluate(MARKED) == [made]
    page.tab.fill("#draft", f" \U0001f6ff{made}\U0001f6fe")
    assert page.tab.evaluate(MARKED) == [made]


def test_the_numbers_of_a_state_are_counted(opened: Any) -> None:
    said = {"gru": "12 numbers, one for each unit", "lstm": "24 numbers, two for each unit"}
    for cell, words in said.items():
        page = opened(page_of(language_model(cell=cell)))
        page.wait()
        assert words in page.tab.evaluate("document.getElementById('inside-lead').textContent")


def test_one_of_a_thing_is_not_many(opened: Any) -> None:
    page = opened(page_of(language_model(), passage="a"))
    page.written()
    assert "the last 1 character:" in (written_one(page), page.text("#write-status"))[1]
    page.tab.click("#tab-read")
    page.until("document.querySelectorAll('#read-strip span').length === 1")
    assert page.text("#read-totals").startswith("1 character, ")
    page.tab.click("#read summary")
    page.tab.fill("#read .source textarea", "ab")
    page.until("document.querySelectorAll('#read-strip span').length === 2")
    page.tab.click("#tab-gradient")
    page.until("document.querySelectorAll('#gradient-table tbody tr').length === 1")
    page.tab.click("#gradient > .fold summary")
    assert "Over 1 step they " in page.text("#gradient-detail")
    zero = page.tab.evaluate("[hundredths(-1e-9), percent(-1e-9), percent(-0.5)]")
    assert zero == ["0.0", "0.0 %", "-50.0 %"]


def written_one(page: Opened) -> str:
    page.tab.fill("#draft", "Some")
    page.tab.fill("#length", "1")
    page.tab.click("#go")
    return page.written()


def test_unknown_characters_are_named_first_and_stay_in_the_box(opened: Any) -> None:
    page = opened(page_of(language_model("list")))
    page.written()
    page.tab.fill("#draft", "annaÄ漢")
    assert "never saw Ä 漢" in page.text("#write-notice")  # before it writes
    page.tab.fill("#seed", "3")
    page.tab.click("#go")
    written = page.written()
    assert written.startswith("annaÄ漢")
    page.tab.click("#go")
    assert page.written().startswith(written)
    page.tab.fill("#draft", "anna")
    assert page.text("#write-notice") == ""
    page.tab.click("#go")
    assert page.written()[4:] == written[6:]  # they were not read
    page.tab.fill("#draft", "Ä漢")
    page.tab.click("#go")
    assert page.written() == "Ä漢"
    assert "writes nothing" in page.text("#write-status")


def test_everything_can_be_done_with_keys_alone(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.wait()
    page.tab.focus("#tab-write")
    page.tab.keyboard.press("ArrowRight")
    page.tab.wait_for_selector("#read-strip span.chosen")
    before = page.text("#read-detail")
    page.tab.focus("#read-strip .strip")
    for key in ("Home", "ArrowRight", "ArrowDown", "End", "ArrowLeft", "ArrowUp", "Home", "End"):
        page.tab.keyboard.press(key)
    assert page.text("#read-detail") != before
    assert len(page.tab.query_selector_all("#read-detail tbody tr")) >= 10
    page.tab.focus("#tab-read")
    page.tab.keyboard.press("ArrowRight")
    page.tab.wait_for_selector("#inside-strip span.chosen")
    assert "follows the feature" in page.text("#inside-totals")
    page.tab.fill("#unit", "0")
    page.tab.focus("#unit")
    page.tab.keyboard.press("ArrowUp")
    assert page.text("#inside-totals").startswith("h of unit 1,")
    page.tab.select_option("#feature", "position in word")
    assert "correlation" in page.text("#inside-totals")
    page.tab.focus("#tab-inside")
    page.tab.keyboard.press("End")
    page.tab.wait_for_selector("#gradient-table tbody tr")
    page.tab.focus("#gradient > .fold summary")
    page.tab.keyboard.press("Enter")
    assert "backward pass" in page.text("#gradient-detail")
    assert page.reports == []


def test_the_shares_of_the_routes_add_up(opened: Any) -> None:
    for cell in CELLS:
        page = opened(page_of(language_model(cell=cell)))
        page.wait()
        page.tab.click("#tab-gradient")
        page.tab.wait_for_selector("#gradient-table tbody tr")
        for row in page.tab.query_selector_all("#gradient-table tbody tr"):
            cells = [cell.inner_text() for cell in row.query_selector_all("td")]
            shares = [float(cell) for cell in cells[2:]]
            assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares) + 0.01)
        said = page.tab.text_content("#gradient-detail")
        assert "each route by a function of its own, and then added" in said
        assert re.search(r"(equal in every digit|differ by \S+e-\d+ at most)\. The line", said)


def test_another_text_is_read_in_all_views(opened: Any) -> None:
    lm = language_model(L=2)
    page = opened(page_of(lm))
    page.wait()
    page.tab.click("#tab-read")
    page.tab.click("#read summary")
    page.tab.fill("#read .source textarea", "Another text, 漢.")
    page.until("document.querySelectorAll('#read-strip span').length === 15")
    assert "15 characters" in page.text("#read-totals")
    assert "漢" in page.text("#read-totals")  # named, and left out
    bits = -lm.score("Another text, .").log_probs / np.log(2)
    assert f"{bits.sum():.1f} bits" in page.text("#read-totals")
    page.tab.click("#tab-inside")
    assert len(page.tab.query_selector_all("#inside-strip span")) == 15
    page.tab.click("#tab-gradient")
    page.until("document.querySelectorAll('#gradient-table tbody tr').length > 0")
    page.tab.click("#tab-read")
    page.tab.fill("#read .source textarea", "")
    page.until("document.querySelectorAll('#read-strip span').length === 0")
    assert "nothing to read" in page.text("#read-totals")
    assert page.reports == []


def test_a_long_text_is_read_to_a_limit(opened: Any) -> None:
    page = opened(page_of(language_model(), passage="some words " * 300))
    page.wait()
    page.tab.click("#tab-read")
    page.until("document.querySelectorAll('#read-strip span').length > 0")
    assert "2,000 characters" in page.text("#read-totals")
    assert "1,300, was not read" in page.text("#read-totals")


def test_layer_value_and_unit_are_chosen(opened: Any) -> None:
    lm = language_model("text", "lstm", L=2)
    text = "Some text to read"
    page = opened(page_of(lm, passage=text))
    page.wait()
    page.tab.click("#tab-inside")
    page.tab.wait_for_selector("#inside-strip span.chosen")
    page.tab.select_option("#layer", "1")
    page.tab.select_option("#quantity", "f")
    page.tab.fill("#unit", "5")
    values = lm.states(text, layer=1)["f"][:, 5]
    said = page.text("#inside-totals")
    assert said.startswith("f of unit 5, layer 1:")
    assert f"{values.min():.3f}" in said
    assert f"{values.max():.3f}" in said
    names = [cell.inner_text() for cell in page.tab.query_selector_all("#inside-detail td.symbol")]
    assert names == ["h⁻", "c⁻", "i", "f", "o", "g", "u", "c", "h"]
    assert "the nearer the gate is to 1" in said
    assert "below" not in said
    page.tab.select_option("#quantity", "c")
    assert "cold ones below" in page.text("#inside-totals")


def test_look_inside_begins_with_a_unit_that_means_something(opened: Any) -> None:
    lm = language_model(H=16)
    text = "Some (words) of a line\nand others of the next line"
    page = opened(page_of(lm, passage=text))
    page.wait()
    page.tab.click("#tab-inside")
    page.tab.wait_for_selector("#inside-strip span.chosen")
    place = list(follow(FEATURES["position in line"], text))
    states = lm.states(text)["h"]
    correlations = [abs(np.corrcoef(place, states[:, k])[0, 1]) for k in range(16)]
    best = str(int(np.argmax(correlations)))
    assert page.tab.input_value("#unit") == best
    assert f"unit {best} follows the feature “position in line” best" in page.text("#inside-totals")
    assert not page.tab.is_visible("#equations")
    disabled = page.tab.evaluate(
        "[...document.querySelectorAll('#feature option:disabled')].map((o) => o.value)"
    )
    varying = {name for name, of in FEATURES.items() if len(set(follow(of, text))) > 1}
    assert set(disabled) == FEATURES.keys() - varying
    page.tab.fill("#unit", "3")
    assert page.tab.input_value("#feature") == ""  # what is shown follows nothing that was asked
    page.tab.click("#inside summary")
    assert "tanh" in page.text("#equations")


def test_a_chosen_character_stays_chosen_and_is_seen_in_all_views(opened: Any) -> None:
    page = opened(page_of(language_model("list"), passage="anna\nbert\n" * 60))
    page.wait()
    page.tab.click("#tab-read")
    page.tab.wait_for_selector("#read-strip span.chosen")
    page.tab.evaluate("document.querySelectorAll('#read-strip span')[400].click()")
    for view in ("inside", "gradient", "read"):
        page.tab.click(f"#tab-{view}")
        page.tab.wait_for_selector(f"#{view}-strip span.chosen")
        chosen = """view => {
          const strip = document.querySelector(`#${view}-strip .strip`);
          const span = strip.querySelector(".chosen"), [a, b] = [span, strip].map((one) => one.getBoundingClientRect());
          return [[...strip.children].indexOf(span), a.top >= b.top && a.bottom <= b.bottom];
        }"""
        assert page.tab.evaluate(chosen, view) == [400, True]
    page.tab.evaluate("document.querySelector('#read-strip .strip').scrollTop = 0")
    page.tab.click("#tab-write")
    page.tab.click("#tab-read")
    assert page.tab.evaluate(chosen, "read") == [400, True]


def test_a_cell_of_ones_own_is_checked_trained_sampled_and_shown(
    opened: Any, grucli: Grucli, text_file: Path, forgets_cells: None
) -> None:
    file, right = Path("mgu.py"), source()
    file.write_text(right.replace("dh_next += s.f @ W_hf_T", "pass"), "utf-8")
    assert grucli("gradcheck", "--cell-file", file, "--brief").code == 1
    file.write_text(right, "utf-8")
    own = ("--cell-file", file)
    assert grucli("gradcheck", "--brief", *own).code == 0
    lines = ("--set", "data.documents=line", "--set", "model.layers=2")
    run = grucli("train", text_file, "--steps", "10", *TINY, *lines, "-q", *own).out.strip()
    assert grucli("sample", run, *own).code == 0
    assert grucli("page", run, "-o", "page.html", *own).code == 0
    page = opened(Path("page.html").read_text("utf-8"))
    assert page.wait() == "passed"
    assert "From the states that Python has computed" in page.text("#proof")
    lm = Run(run).lm
    ids = lm.samples(1, 2000, seed=build.SEED).ids()[: build.PROVEN]
    written = page.tab.input_value("#draft")
    assert written.startswith(lm.decode(ids)[:50])
    assert "its cell, mgu, is defined in a file" in page.text("#write-lead").replace("Its", "its")
    assert page.tab.query_selector("#go") is None
    assert page.tab.query_selector("#tab-gradient") is None
    page.tab.click("#tab-read")
    page.until(f"document.querySelectorAll('#read-strip span').length === {len(ids)}")
    bits = -rounded(lm, "float32").score(ids).log_probs / np.log(2)
    assert f"{bits.sum():.1f} bits" in page.text("#read-totals")
    page.tab.click("#tab-inside")
    page.tab.wait_for_selector("#inside-strip span.chosen")
    for layer, name in ((1, "f"), (2, "n")):
        page.tab.select_option("#layer", str(layer))
        page.tab.select_option("#quantity", name)
        page.tab.fill("#unit", "5")
        read = np.array([lm.model.separator, *ids])
        values = read_layer(lm.model, read, layer)[name][1:, 5]
        said = page.text("#inside-totals")
        assert f"from {values.min():.3f} to {values.max():.3f}." in said
    assert [cell.inner_text() for cell in page.tab.query_selector_all("#inside-detail td.symbol")] == [
        "h⁻", "f", "n", "fh", "h",
    ]  # fmt: skip
    refused = "(text) => { try { grucli.logProbs(text); } catch (error) { return error.message; } }"
    another = lm.decode(ids[:1]) * 9
    assert "states of its own text alone" in page.tab.evaluate(refused, another)
    assert page.reports == []


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_equations_are_typeset_and_fit(opened: Any, cell: str, scheme: str) -> None:
    page = opened(page_of(language_model(cell=cell)), 390, scheme)
    page.wait()
    page.tab.click("#tab-inside")
    page.tab.click("#inside summary")
    assert page.text("#equations").count("=") >= len(CELLS[cell].GATES) + 1
    page.tab.click("#tab-gradient")
    page.tab.wait_for_selector("#gradient-table tbody tr")
    page.tab.click("#gradient > .fold summary")
    names = page.tab.evaluate(
        "[...document.querySelectorAll('mtext')].map((one) => one.textContent)"
    )
    assert set(names) == {route.name for route in CELLS[cell].ROUTES}
    parts = page.tab.query_selector_all("#gradient-detail math msub, #gradient-detail math msubsup")
    assert parts
    assert all(one.bounding_box()["height"] > 8 for one in parts)
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.reports == []


def test_arrows_go_to_the_next_line(opened: Any) -> None:
    page = opened(page_of(language_model(), passage="short\na longer line\nthe last line\n"))
    page.wait()
    page.tab.click("#tab-read")
    page.tab.wait_for_selector("#read-strip span.chosen")
    page.tab.focus("#read-strip .strip")
    page.tab.keyboard.press("Home")
    for _ in range(10):
        page.tab.keyboard.press("ArrowRight")
    at = """() => [...document.querySelectorAll("#read-strip span")]
        .findIndex((span) => span.matches(".chosen"))"""
    places = [page.tab.evaluate(at)]
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.tab.keyboard.press(key)
        places.append(page.tab.evaluate(at))
    assert places == [10, 4, 10, 24, 24]


def test_what_is_in_write_is_read(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.written()
    page.tab.fill("#draft", "This is mine")
    page.tab.click("#tab-read")
    page.tab.click("#read .written")
    page.until("document.querySelectorAll('#read-strip span').length === 12")
    assert page.text("#read-strip") == "This is mine"


def test_a_tab_has_an_address(opened: Any) -> None:
    page = opened(page_of(language_model()))
    page.wait()
    page.tab.click("#tab-inside")
    assert page.tab.url.endswith("#inside")
    page.tab.reload()
    page.wait()
    assert page.tab.is_visible("#inside")
    assert not page.tab.is_visible("#write")
    page.tab.evaluate("location.hash = '#gradient'")
    page.tab.wait_for_selector("#gradient-table tbody tr")
    assert page.reports == []


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740)])
def test_text_and_gradient_are_seen_together(opened: Any, width: int, height: int) -> None:
    lm = language_model("text", "lstm")
    page = opened(page_of(lm, passage=lm.decode(some_ids(lm, 900))), width)
    page.tab.set_viewport_size({"width": width, "height": height})
    page.wait()
    page.tab.click("#tab-gradient")
    page.tab.wait_for_selector("#gradient-table tbody tr")
    assert page.text("#gradient-lead").startswith("How far back does the model look?")
    assert not page.tab.is_visible("#gradient-detail")
    if width < 800:
        page.tab.evaluate("document.querySelector('#gradient-totals').scrollIntoView()")
    for part in ("#gradient-strip", "#gradient-chart svg"):
        box = page.tab.query_selector(part).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
    table = page.tab.query_selector("#gradient-table table").bounding_box()
    assert table["x"] + table["width"] <= width
    assert page.tab.query_selector("#gradient-chart text").bounding_box()["height"] >= 9
    right = 0
    for label in page.tab.query_selector_all("#gradient-chart text[text-anchor=middle]"):
        box = label.bounding_box()
        assert box["x"] > right  # no number is on another
        right = box["x"] + box["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_coloured_text_can_be_read(opened: Any, scheme: str) -> None:
    page = opened(page_of(language_model()), scheme=scheme)
    page.wait()
    page.tab.click("#tab-read")
    page.tab.wait_for_selector("#read-strip span.chosen")
    for colour in ("hot", "cold"):
        page.tab.evaluate(
            """colour => {
              const span = document.querySelector("#read-strip span");
              span.className = colour;
              span.style.setProperty("--strength", 1);
            }""",
            colour,
        )
        assert contrast(*page.tab.evaluate(STRONGEST, "#read-strip span")) >= 4.5


def test_settings_of_sampling_have_an_effect(opened: Any) -> None:
    lm = language_model()
    page = opened(page_of(lm))
    page.written()
    expected = lm.sample(40, prompt="Some ", temperature=0)
    for field, value in (("#temperature", "0"), ("#top-k", "1")):
        page.tab.click("#clear")
        page.tab.fill("#draft", "Some ")
        page.tab.fill("#length", "40")
        page.tab.fill("#seed", "9")
        page.tab.fill(field, value)
        page.tab.click("#go")
        assert page.written() == expected
        page.tab.fill(field, "1")
    page.tab.fill("#top-k", "")
    page.tab.fill("#top-p", "0.01")
    page.tab.click("#clear")
    page.tab.fill("#draft", "Some ")
    page.tab.click("#go")
    assert page.written() == expected


@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(opened: Any, width: int, scheme: str) -> None:
    page = opened(page_of(language_model("list", "lstm")), width, scheme)
    page.wait()
    page.written()
    for tab in ("write", "read", "inside", "gradient"):
        page.tab.click(f"#tab-{tab}")
        page.tab.wait_for_timeout(150)
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width, tab


def test_a_large_model_stays_usable(opened: Any) -> None:
    lm = language_model(L=2, H=512)
    page = opened(page_of(lm))
    assert page.wait() == "passed"
    page.until("document.getElementById('draft').value.length > 0")
    page.tab.click("#tab-read")  # it answers while it writes
    page.tab.wait_for_selector("#read-strip span")
    assert page.reports == []


def test_the_file_holds_little_besides_the_weights() -> None:
    lm = language_model("Chinese", H=64)
    content = payload(lm, some_ids(lm), "float32")
    size, weights = len(page_of(lm).encode()), len(content["weights"])
    assert size - weights < 120_000
    assert json.loads(json.dumps(content))["V"] == len(lm.vocabulary)
