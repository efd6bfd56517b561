"""What the tests of the commands share."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.analysis.mistakes import find_mistake, make_mistake
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.stopping import STOP_SIGNALS
from grucli.text_out import CONTROLS
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import WORDS


def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
    """The program as its own process."""
    command = [sys.executable, "-m", "grucli", *map(str, args)]
    usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    usual |= {} if os.name == "nt" else {"preexec_fn": usual_signals}
    return subprocess.Popen(command, **(usual | options))  # type: ignore[call-overload, no-any-return]


def usual_signals() -> None:
    """Let signals stop this process, even if whoever started the tests ignores some."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


posix = pytest.mark.skipif(os.name == "nt", reason="needs signals, pipes, links and terminals")


def wait_for(process: subprocess.Popen[bytes], text: str) -> None:
    """Read what a process says until a line holds ``text``."""
    assert process.stderr is not None
    seen = b""
    while text.encode() not in seen:
        line = process.stderr.readline()
        assert line, seen.decode()
        seen = seen + line


def run_info(run: str | Path) -> dict[str, object]:
    return json.loads(Path(run, "run.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


MINE = "what somebody has written"
"""The content of a file that no command may overwrite."""


def without_reader(*args: object) -> subprocess.Popen[bytes]:
    """A command whose standard output nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return start(*args, stdout=writer)
    finally:
        os.close(writer)


def refusal(grucli: Grucli, *args: object) -> str:
    """What a command says that refuses and leaves nothing behind."""
    before = snapshot(Path())
    result = grucli(*args)
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    assert snapshot(Path()) == before
    assert not Path("runs").exists()
    return result.err


LIST = "".join(f"{word}{other}\n" for word in WORDS for other in WORDS[:12])


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def trained_on(grucli: Grucli, *args: object) -> Path:
    result = grucli("train", *args, "-q", *TINY)
    assert result.code == 0, result.err
    return Path(result.out.strip())


def last_checkpoint(run: Path) -> checkpoints.Checkpoint:
    return checkpoints.read(Run(run).checkpoints.find("last"))


SMALL = ("--hidden", 6, "--positions", 4)
"""Options with which ``routes`` and ``gradflow`` take a moment."""


ROOT = Path(__file__).parents[2]


SCRIPT = "import sys; from grucli.__main__ import main; sys.exit(main())"


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


LINK = "a link stands where the program has a file or directory of its own; remove it"


def replaced_by_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def fails_where_the_backward_pass_is_wrong(grucli: Grucli, *command: str) -> None:
    """A command that shows a gradient fails if it is not the right one."""
    assert grucli(*command).code == 0
    with make_mistake(find_mistake("gru", "route-2-update")):
        result = grucli(*command)
        records = json.loads(grucli(*command, "--json").out)
    assert result.code == 1
    assert "WRONG" in result.out
    assert records["agrees"] is False
