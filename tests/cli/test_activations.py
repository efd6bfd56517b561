"""``grucli activations``."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import MINE, refusal
from tests.conftest import Grucli
from tests.texts import prose


def test_a_text_is_coloured_by_a_unit_or_by_surprisal(grucli: Grucli, trained: Path) -> None:
    found = grucli("activations", trained, "--top", 2)
    assert "position in line" in found.out
    coloured = grucli("activations", trained, "--unit", 3, "--length", 50)
    surprised = json.loads(grucli("activations", trained, "--surprisal", "-n", 50, "--json").out)
    assert "".join(character for character, _ in surprised["values"]) == coloured.out.rstrip("\n")
    assert min(bits for _, bits in surprised["values"]) >= 0


def test_a_page_needs_no_other_file(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text(prose(300), encoding="utf-8")
    asked = ("--text", "odd.txt", "--unit", 0, "--html", "page.html")
    assert grucli("activations", trained, *asked).code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("<span") == 300
    assert "http" not in page
    assert "<script" not in page


def test_a_page_overwrites_nothing_unasked(grucli: Grucli, trained: Path) -> None:
    Path("page.html").write_text(MINE, encoding="utf-8")
    asked = ("activations", trained, "--unit=1", "--html=page.html")
    refused = grucli(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "--html page.html: this file exists" in refused.err
    assert Path("page.html").read_text(encoding="utf-8") == MINE
    assert grucli(*asked, "--force").code == 0
    assert "<pre>" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            ["activations", "{run}", "--unit", "12"],
            "there is no unit 12: this model's units are numbered 0 to 11",
        ),
        (
            ["activations", "{run}", "--layer", "2"],
            "there is no layer 2: this model's layers are numbered 1 to 1",
        ),
        (["activations", "{run}", "--unit", "1", "--top", "1"], "cannot be combined; keep one"),
        (["activations", "{run}", "--html", "a.html"], "--html writes a coloured text"),
        (["activations", "{run}", "-n", "1"], "a length of 1 is too short; read 2 characters"),
        (["activations", "{run}", "--unit=1", "--html", "."], "this is a directory"),
        (["activations", "{run}", "--unit=1", "--html", "no/x.html"], "there is no directory no"),
    ],
    ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input(grucli: Grucli, trained: Path, args: list[str], expected: str) -> None:
    words = [arg.format(run=trained) for arg in args]
    assert expected in refusal(grucli, *words)


def test_colours_are_kept_where_that_is_asked_for(
    grucli: Grucli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("activations", trained, "--unit", 3, "-n", 50)
    plain = grucli(*asked)
    assert "\x1b" not in plain.out
    assert "FORCE_COLOR=1 keeps the colours" in plain.err
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = grucli(*asked)
    assert "\x1b[" in coloured.out
    assert coloured.err.startswith("unit 3 of layer 1")
