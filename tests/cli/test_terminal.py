"""What a terminal gets, as a pseudo-terminal sees it, and what a pipe gets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.cli import render
from grucli.text_out import CONTROLS, printable
from tests.cli.test_commands import start
from tests.conftest import TINY, Grucli
from tests.texts import prose

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\r\x9b5m\x7f \u202egpj.exe\u2066\u2028!"
"""Sets the title, rings, colours, returns, and turns the direction of what follows."""
HARMLESS = (
    "tab\there, \u4f60\u597d\u3000\u05e9\u05dc\u05d5\u05dd, "
    "\U0001f469\u200d\U0001f680 \u2764\ufe0f \U0001f1f8\U0001f1ea\n"
)
"""Ideographs and their space, Hebrew, a joined emoji, a variation selector, a flag."""


def on_terminal(*args: object) -> tuple[int, str]:
    """Run the program with stdout and stderr on a terminal; exit code and what it was sent."""
    import pty
    import tty

    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # line ends as they are
    process = start(*args, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        sent = b"".join(_until_closed(screen))
    return process.wait(), sent.decode(errors="surrogateescape")


def _until_closed(screen: object) -> Iterator[bytes]:
    try:
        while data := screen.read(2**16):  # type: ignore[attr-defined]
            yield data
    except OSError:  # how Linux says that nobody writes any more
        return


def unstyled(sent: str) -> str:
    """Without what the program sends on purpose: colours, and the moves of a progress bar."""
    return re.sub(r"\r?\x1b\[([0-9;]*m|\?25[lh]|1A|2K)", "", sent)


def safe(sent: str) -> bool:
    return not CONTROLS.search(unstyled(sent)) and "\x1b[31mred" not in sent


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a hostile text under a hostile name, whose samples repeat the prompt at least."""
    from grucli.cli import main

    home = tmp_path_factory.mktemp("hostile")
    text = home / "a\x1b[31mred\x07.txt"
    text.write_text((prose(200) + HOSTILE + HARMLESS) * 20, encoding="utf-8", newline="")
    asked = ["--steps=5", "-q", "--set=data.newlines=keep", "--runs-dir", str(home / "runs")]
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(text), *asked, *TINY])
    assert not stopped.value.code
    run = next((home / "runs").iterdir())
    return run.rename(run.with_name("a\x1b[31mred\x07-run"))


def test_a_sample_on_a_terminal_shows_what_a_pipe_gets_as_it_is(hostile_run: Path) -> None:
    Path("prompt.txt").write_text(HOSTILE + HARMLESS, encoding="utf-8", newline="")
    asked = ("sample", hostile_run, "--prompt-file", "prompt.txt", "-n", 20, "--seed", 1, "-c", 2)
    piped = start(*asked).communicate()[0].decode()
    assert piped.count(HOSTILE + HARMLESS) == 2
    code, shown = on_terminal(*asked)
    assert code == 0
    assert safe(shown)
    assert unstyled(shown).startswith(printable(piped))
    assert HARMLESS in shown
    assert on_terminal(*asked, "--raw")[1] == piped


def test_pieces_are_shown_like_the_whole() -> None:
    data = (HOSTILE + HARMLESS + "line\r\nline\r").encode() + b"\xff\n"
    terminal = render._Terminal()
    pieces = b"".join(terminal.encode(data[at : at + 1]) for at in range(len(data)))
    assert pieces.decode() == printable(data.decode(errors="replace"))


def test_bytes_reach_a_terminal_as_characters(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    run = grucli("train", "data.bin", "--set=data.level=byte", "--steps=2", "-q", *TINY).out.strip()
    code, shown = on_terminal("sample", run, "-n", 300, "--prompt", HARMLESS, "--seed", 1)
    assert code == 0
    assert shown.startswith(HARMLESS)
    assert safe(shown)


@pytest.mark.parametrize(
    "command",
    [
        "train {text} --dry-run",
        "train {text} --steps=2 --set=train.eval_every=1",
        "eval {run} {text}",
        "runs {runs}",
        "gradflow {run} --distance=2",
        "routes {run} --distance=2",
        "activations {run} --unit=1",
        "activations {run} --top=1",
        "sample {text}",
        "sample {text}x",
        "train {text} --config {text}",
        "train --\x1b[31mred",
        "\x1b[31mred",
        "train {text} --unknown=\x1b[31mred",
        "train {text} --set=model.\x1b[31mred=1",
        "train {text} --config=keys.yaml",
        "corpus \x1b[31mred",
        "--debug sample {text}",
    ],
)
def test_whatever_is_said_on_a_terminal_is_printable(command: str, hostile_run: Path) -> None:
    Path("keys.yaml").write_text('model: {"\\e[31mred\\a\\x9b\\u202e": 1}\n', encoding="utf-8")
    text = next(hostile_run.parents[1].glob("*.txt"))
    words = {"run": hostile_run, "runs": hostile_run.parent, "text": text}
    tiny = TINY if command.startswith("train {text} --steps=2") else []
    _, shown = on_terminal(*(word.format(**words) for word in command.split(" ")), *tiny)
    assert safe(shown), repr(shown)
    assert "red" in shown or command.startswith("activations")


def test_errors_are_printable_in_a_file_as_well(hostile_run: Path) -> None:
    assert "\x1b" not in start("sample", f"{hostile_run}x").communicate()[1].decode()


def test_json_escapes_what_drives_a_terminal(hostile_run: Path) -> None:
    Path("prompt.txt").write_text(HOSTILE + HARMLESS, encoding="utf-8", newline="")
    asked = ("sample", hostile_run, "--prompt-file", "prompt.txt", "-n", 2, "--json")
    made = start(*asked).communicate()[0].decode()
    assert not CONTROLS.search(made)
    assert "\\u009b" in made
    assert "\\u202e" in made
    assert HARMLESS.strip().partition("\t")[2] in made
    assert json.loads(made)["prompt"] == HOSTILE + HARMLESS
    listed = start("runs", hostile_run.parent, "--json").communicate()[0].decode()
    assert json.loads(listed)[0]["run"] == hostile_run.name


def test_a_name_with_a_line_end_does_not_break_a_table() -> None:
    assert list(render.table([("run", "corpus"), ("one\ntwo", "a\tb\r")], words=True)) == [
        "run      corpus",
        "one␊two  a␉b␍",
    ]


def test_a_path_that_is_not_utf8_can_be_used() -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    train = ("train", "text.txt", "--steps=2", "-q", *TINY, "--runs-dir")
    run = os.fsdecode(start(*train, os.fsdecode(b"runs\xff")).communicate()[0].rstrip(b"\n"))
    assert Path(run, "run.json").is_file()
    listed = start("runs", os.fsdecode(b"runs\xff"), "--json").communicate()[0]
    assert json.loads(listed)[0]["run"] == Path(run).name
    out = start("corpus", "python-reference", "-o", os.fsdecode(b"\xff.txt")).communicate()[0]
    assert out == b"\xff.txt\n"
    coloured = start("activations", run, "--unit=1", "--html=a.html")
    assert b"Traceback" not in coloured.communicate()[1]
    assert "runs\ufffd" not in Path("a.html").read_text(encoding="utf-8")
    code, shown = on_terminal(*train, os.fsdecode(b"more\xff"))
    assert (code, shown[:6]) == (0, "more\ufffd/")


@pytest.mark.parametrize("name", ["-d.txt", "--help", "a b.txt", "\x1b[31mred\x07.txt", b"\xff'"])
def test_suggested_commands_can_be_copied(name: str | bytes) -> None:
    path = os.fsdecode(name)
    Path(path).write_text(prose(4000), encoding="utf-8")
    training = start("train", f"--runs-dir=-{path}", *TINY, "--steps=2", "--", path)
    _, err = training.communicate()
    assert training.returncode == 0, err
    suggested = [line.strip() for line in err.decode().splitlines() if line.startswith("  grucli ")]
    assert len(suggested) == 3
    for command in suggested:
        words = command.replace("grucli", f"{sys.executable} -m grucli", 1)
        done = subprocess.run(["bash", "-c", words], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_a_path_that_looks_like_an_option_is_printed_as_a_path(grucli: Grucli) -> None:
    result = grucli("corpus", "python-reference", "--output=-d.txt")
    assert result.out == "./-d.txt\n"
    assert "grucli train ./-d.txt" in result.err
