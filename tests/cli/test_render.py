"""Tables on terminals of different widths."""

import pytest

from grucli.cli import render
from grucli.text_out import printable
from tests.cli.helpers import HARMLESS, HOSTILE

ROWS = [("run", "loss", "corpus"), ("20261124-a-long-name", "1.5", "text.txt"), ("short", "2", "-")]


@pytest.mark.parametrize(("columns", "terminal"), [(80, True), (36, True), (20, False)])
def test_a_table_has_columns_where_there_is_room_or_no_terminal(
    columns: int,
    terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    render.answer([], render.table(ROWS), as_json=False)
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "run                   loss    corpus",
        "20261124-a-long-name   1.5  text.txt",
        "short                    2         -",
    ]


def test_a_terminal_too_narrow_for_it_gets_a_line_for_each_cell(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("COLUMNS", "35")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    render.answer([], render.table(ROWS), as_json=False)
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "20261124-a-long-name",
        "  loss    1.5",
        "  corpus  text.txt",
        "short",
        "  loss    2",
        "  corpus  -",
    ]


def test_an_answer_is_lines_or_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    records = [{"a": 1, "b": "\x1b"}]
    render.answer(records, render.table([("a", "b"), ("1", "2")]), as_json=False)
    assert capfdbinary.readouterr().out == b"a  b\n1  2\n"
    unread = iter(["not read"])
    render.answer(records, unread, as_json=True)
    assert capfdbinary.readouterr().out == b'[{"a": 1, "b": "\\u001b"}]\n'
    assert list(unread) == ["not read"]


def test_a_narrow_terminal_drops_the_least_used_columns(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("COLUMNS", "35")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    render.answer([], render.table(ROWS, drop=["loss", "corpus"]), as_json=False)
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "run                     corpus",
        "20261124-a-long-name  text.txt",
        "short                        -",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert list(render.table([("a", "b"), ("\u4f60\u597d", "1"), ("xyz", "2")])) == [
        "a     b",
        "\u4f60\u597d  1",
        "xyz   2",
    ]
    assert list(render.in_columns(["\u4f60", "abcd", "x"], 10)) == ["\u4f60    abcd", "x"]


def test_lines_are_broken_between_words_and_a_path_is_never_broken() -> None:
    path = "runs/20261124-134956-python-reference/checkpoints"
    assert list(render.wrap(f"resume {path} at step 3 of 9", 12)) == [
        "resume",
        path,
        "at step 3 of",
        "9",
    ]
    assert list(render.wrap("", 10)) == [""]
    assert list(render.wrap("  indented words", 12)) == ["  indented", "words"]


def test_pieces_are_shown_like_the_whole() -> None:
    data = (HOSTILE + HARMLESS + "line\r\nline\r").encode() + b"\xff\n"
    terminal = render._Terminal()
    pieces = b"".join(terminal.encode(data[at : at + 1]) for at in range(len(data)))
    assert pieces.decode() == printable(data.decode(errors="replace"))


def test_a_name_with_a_line_end_does_not_break_a_table() -> None:
    assert list(render.table([("run", "corpus"), ("one\ntwo", "a\tb\r")], words=True)) == [
        "run      corpus",
        "one␊two  a␉b␍",
    ]
