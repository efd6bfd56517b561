from pathlib import Path

import pytest

from grucli.errors import RunError
from grucli.html import ColouredText, colour_of

SIGNED = ColouredText("run", "unit 1", ["a", "<", "\x1b"], [1.0, -2.0, 0.0], full=2.0, signed=True)


def test_colours_go_from_white_to_red_and_blue() -> None:
    assert [colour for *_, colour in SIGNED.coloured()] == [
        (255, 168, 168), (80, 80, 255), (255, 255, 255),
    ]  # fmt: skip
    assert colour_of(9.0, 8.0) == colour_of(8.0, 8.0) == (255, 80, 80)
    assert colour_of(0.0, 0.0) == (255, 255, 255)


def test_html_shows_the_characters_and_their_values(tmp_path: Path) -> None:
    html = SIGNED.to_html()
    assert '<span style="background:#5050ff" title="-2.000">&lt;</span>' in html
    assert "\x1b" not in html
    SIGNED.write_page(tmp_path / "page.html")
    assert html in (tmp_path / "page.html").read_text("utf-8")
    assert SIGNED.to_dict()["values"] == [["a", 1.0], ["<", -2.0], ["\x1b", 0.0]]


def test_a_page_that_cannot_be_written() -> None:
    with pytest.raises(RunError, match="cannot write the page"):
        SIGNED.write_page(Path("nowhere", "page.html"))
