"""Ctrl-C and SIGTERM at any moment, from the first import to the last."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli.data import builtin as corpora
from tests.conftest import Grucli

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM)

AT_IMPORT = """
import sys, signal
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal({number})
sys.meta_path.insert(0, Finder())
from grucli.__main__ import main
main()
"""
IN_CALLBACK = """
import sys, signal
class Dying:
    def __del__(self):
        signal.raise_signal({number})
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            Dying()
sys.meta_path.insert(0, Finder())
from grucli.__main__ import main
main()
"""
AT_EXIT = """
import atexit, signal
atexit.register(signal.raise_signal, {number})
from grucli.__main__ import main
main()
"""
SCRIPT = "import sys; from grucli.__main__ import main; sys.exit(main())"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")


def run(code: str, *args: object) -> tuple[int, str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "module",
    ["grucli.cli", "typer", "rich.console", "grucli.cli.sample", "numpy", "numpy.linalg",
     "pydantic", "yaml", "grucli.run.checkpoint"],
)  # fmt: skip
def test_a_signal_while_modules_are_imported(
    module: str, number: signal.Signals, trained: Path
) -> None:
    code = AT_IMPORT.format(module=module, number=int(number))
    assert run(code, "sample", trained) == (128 + number, "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_whose_exception_python_drops(number: signal.Signals, trained: Path) -> None:
    code = IN_CALLBACK.format(number=int(number))
    assert run(code, "sample", trained) == (128 + number, "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_answer(number: signal.Signals) -> None:
    assert run(AT_EXIT.format(number=int(number)), "--version") == (128 + number, "")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [["-m", "grucli"], ["-c", SCRIPT]])
def test_a_signal_in_the_first_moments(command: list[str], number: signal.Signals) -> None:
    for delay in range(0, 300, 20):
        process = subprocess.Popen(
            [sys.executable, *command, "corpus", "python-reference", "-o", "-"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        time.sleep(delay / 1000)
        process.send_signal(number)
        err = process.communicate()[1].decode()
        assert "grucli/cli" not in err  # before the program begins, Python has its own words
        if not err:
            assert process.returncode in (0, -number, 128 + number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_python_turns_into_another_error(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(_: str) -> Iterator[str]:
        try:
            signal.raise_signal(number)
        except SystemExit as error:
            raise RuntimeError("Error calling __set_name__") from error
        yield ""

    before = [signal.getsignal(one) for one in SIGNALS]
    monkeypatch.setattr(corpora, "chunks", interrupted)
    result = grucli("corpus", "python-reference")
    assert (result.code, result.out, result.err) == (128 + number, "", "")
    assert not list(Path("data").iterdir())
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_signals_that_are_ignored_stay_so() -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN){AT_EXIT}"
    assert run(code.format(number=int(signal.SIGINT)), "--version") == (0, "")


def test_ctrl_c_ends_the_line_of_a_sample_and_tells_its_seed(trained: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "sample", str(trained), "-n", "100000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.read(50)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith(b"\n")
    assert b"repeats this" in err
