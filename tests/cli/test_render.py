"""Tables on terminals of different widths."""

import pytest

from grucli.cli import render
from grucli.cli.output import answer

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
    answer([], render.table(ROWS), as_json=False)
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
    answer([], render.table(ROWS), as_json=False)
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
    answer(records, render.table([("a", "b"), ("1", "2")]), as_json=False)
    assert capfdbinary.readouterr().out == b"a  b\n1  2\n"
    unread = iter(["not read"])
    answer(records, unread, as_json=True)
    assert capfdbinary.readouterr().out == b'[{"a": 1, "b": "\\u001b"}]\n'
    assert list(unread) == ["not read"]
