"""Answers, tables and files that commands write, on terminals and elsewhere."""

import os
import subprocess
import threading
from pathlib import Path

import pytest
from rich.cells import chop_cells

from grucli.cli import render
from grucli.text_out import printable
from tests.cli.helpers import HARMLESS, HOSTILE, MINE, SMALL, posix, start, without_reader
from tests.conftest import Grucli, snapshot

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


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "To be, or not to be: that is the question",
            ["To be, or not to", "be: that is the", "question"],
        ),
        ("exactly-as-wide. as the line", ["exactly-as-wide.", "as the line"]),
        ("a word-that-is-wider-than-a-line b", ["a", "word-that-is-wid", "er-than-a-line b"]),
        ("  indented\n\n  by two blanks", ["  indented", "", "  by two blanks"]),
        ("春眠不觉晓处处闻啼鸟夜来", ["春眠不觉晓处处闻", "啼鸟夜来"]),
        ("x" * 100, [*["x" * 16] * 6, "x" * 4]),
        ("a\x1b[31m b \U0001f600", ["a\N{SYMBOL FOR ESCAPE}[31m b \U0001f600"]),
    ],
)
def test_a_stream_breaks_between_words_on_a_terminal(
    text: str,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    data = f"{text}\n".encode()
    for at_once in (1, 3, len(data)):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        for first in range(0, len(data), at_once):
            render.write_words(data[first : first + at_once])
        written = capfdbinary.readouterr().out.decode().splitlines()
        assert [
            shown.rstrip() for line in written for shown in chop_cells(line, 16) or [""]
        ] == lines
        monkeypatch.setattr("sys.stdout.isatty", lambda: False)
        render.write_words(data)
        assert capfdbinary.readouterr().out == data


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
    assert list(render.wrap("  indented words", 12)) == ["  indented", "  words"]


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


# ---- files that commands write where the user says: none is overwritten unasked


def test_plots_are_drawn(grucli: Grucli, text_file: Path) -> None:
    for command in ("routes", "gradflow"):
        options = ("--text", text_file, *SMALL, "--distance", 6)
        assert grucli(command, *options, "--plot", f"{command}.svg").code == 0
        drawn = Path(f"{command}.svg").read_bytes()
        assert b"<svg" in drawn
        assert grucli(command, *options, "--plot", f"{command}.svg", "--force").code == 0
        assert Path(f"{command}.svg").read_bytes() == drawn
        if Path("/dev/full").exists():
            Path("pipe.svg").unlink(missing_ok=True)
            Path("pipe.svg").symlink_to("/dev/full")
            full = grucli(command, *options, "--plot", "pipe.svg")
            assert full.code == 1
            assert "pipe.svg: cannot write the plot" in full.err


@pytest.mark.parametrize("command", ["gradflow", "routes"])
def test_a_plot_overwrites_nothing_unasked(grucli: Grucli, command: str) -> None:
    Path("plot.svg").write_text(MINE, encoding="utf-8")
    refused = grucli(command, "--plot", "plot.svg")
    assert (refused.code, refused.out) == (2, "")
    assert "--plot plot.svg: this file exists; name another file, or overwrite it" in refused.err
    assert Path("plot.svg").read_text(encoding="utf-8") == MINE


@posix
def test_streams_and_pipes_are_written_without_asking(grucli: Grucli, trained: Path) -> None:
    Path("stdout").symlink_to("/dev/fd/1")  # as /dev/stdout, which a mistake would replace
    page = ("activations", trained, "--unit=1", "--html", "stdout")
    assert b"<pre>" in start(*page).communicate()[0]
    Path("log.html").write_text(MINE, encoding="utf-8")
    with Path("log.html").open("ab") as file:
        assert start(*page, stdout=file, stderr=subprocess.DEVNULL).wait() == 0
    logged = Path("log.html").read_text(encoding="utf-8")
    assert logged.startswith(MINE)
    assert "<pre>" in logged
    text = start("corpus", "python-reference", "-o", "stdout").communicate()[0]
    assert len(text) > 300_000
    assert not text.endswith(b"stdout\n")
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    assert grucli(*page[:-1], "pipe").code == 0
    reader.join(timeout=30)
    assert b"<pre>" in read[0]


@posix
def test_a_verdict_is_the_same_for_a_reader_who_leaves(trained: Path) -> None:
    wrong = without_reader("gradcheck", "--break", "route-2-update")
    _, said = wrong.communicate()
    assert (wrong.returncode, said) == (1, b"")
    for asked in (["runs", trained.parent], ["routes", trained, "--distance=2", "--positions=2"]):
        right = without_reader(*asked)
        right.communicate()
        assert right.returncode == 0


@posix
@pytest.mark.parametrize("command", ["report", "page"])
@pytest.mark.parametrize("there", ["link", "pipe"])
def test_a_page_of_a_run_is_never_written_through_a_link(
    grucli: Grucli, run: Path, mine: Path, command: str, there: str
) -> None:
    page = run / f"{command}.html"
    page.unlink(missing_ok=True)
    if there == "link":
        page.symlink_to(mine / "step-00000999.txt")
    else:
        os.mkfifo(page)
    before = snapshot(mine)
    process = start(command, run)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert snapshot(mine) == before
    assert page.is_file()
    assert not page.is_symlink()
    page.rename("chosen.html")
    Path("link.html").symlink_to("chosen.html")  # the user names this one
    assert grucli(command, run, "-o", "link.html", "--force").code == 0
    assert Path("link.html").is_symlink()


def test_a_message_within_another_write_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def print_(*_: object, **__: object) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(render.err, "print", print_)
    render.say("stopping")
