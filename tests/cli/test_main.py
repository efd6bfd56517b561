"""What holds for the program: help, exit codes, signals, terminals, all commands at once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grucli import __version__, load
from grucli.data import builtin as corpora
from grucli.run.run import Run
from grucli.text_out import CONTROLS
from tests.cli.helpers import (
    HARMLESS,
    HOSTILE,
    ROOT,
    SCRIPT,
    on_terminal,
    posix,
    refusal,
    safe,
    start,
    write,
)
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose


def test_without_a_command_it_shows_help_and_fails(grucli: Grucli) -> None:
    result = grucli()
    assert (result.code, result.out) == (2, "")
    assert result.err == grucli("--help").out
    assert result.err.startswith("Usage: grucli [OPTIONS] COMMAND")


def test_version_and_help(grucli: Grucli) -> None:
    assert grucli("--version").out == f"grucli {__version__}\n"
    assert "gradcheck" in grucli("--help").out
    assert grucli("train", "-h").code == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\nfrom grucli.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "sys.exit(bool({'numpy', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


def test_a_mistyped_command_is_suggested(grucli: Grucli) -> None:
    result = grucli("trian", "x")
    assert result.code == 2
    assert "train" in result.err


def test_errors_of_the_parser_have_the_style_of_all_errors(grucli: Grucli) -> None:
    assert grucli("train", "--stepz").err == (
        "error: no such option: --stepz (Possible options: --set, --steps, --test); "
        "`grucli train --help` shows what it takes\n"
    )
    assert grucli("sample").err.startswith("error: missing argument")
    assert grucli("nonsense").err.startswith("error: no such command")
    assert "Usage:" in grucli().err


def test_debug_shows_a_traceback(grucli: Grucli) -> None:
    result = grucli("train", "nothing.txt", "--debug")
    assert result.code == 2
    assert "Traceback" in result.err
    assert "error: nothing.txt: there is no such file" in result.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        SystemError("error return without exception set"),
        ImportError("numpy/random/mtrand.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory_is_told_in_words(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr("grucli.cli.runs.list_runs", fails)
    result = grucli("runs")
    assert (result.code, result.out) == (1, "")
    assert "error: there is not enough memory" in result.err


# ---- several commands at once


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("command", ["sample", "eval", "gradcheck"])
def test_what_is_not_a_checkpoint(grucli: Grucli, trained: Path, command: str) -> None:
    file = ["text.txt"] if command == "eval" else []
    good = max((trained / "checkpoints").glob("*.npz")).read_bytes()
    write("cut.npz", good[:1000])
    Path("young/checkpoints").mkdir(parents=True)
    for path, expected in [
        ("nothing", "there is no such run or checkpoint"),
        ("dir", "not a run directory"),
        ("young", "no checkpoint of trained weights yet"),
        ("text.txt", "not a checkpoint, or a damaged one"),
        ("cut.npz", "not a checkpoint, or a damaged one"),
    ]:
        message = refusal(grucli, command, path, *file)
        assert f"{path}: {expected}" in message


@pytest.mark.usefixtures("bad_files")
def test_corpus_and_runs(grucli: Grucli) -> None:
    assert "there is no such corpus" in refusal(grucli, "corpus", "shakespeare")
    assert "cannot be written" in refusal(
        grucli, "corpus", "python-reference", "--output", "one.txt/x"
    )
    assert "no such directory" in refusal(grucli, "runs", "nowhere")


def test_text_is_utf8_whatever_the_locale(text_file: Path) -> None:
    text_file.write_text("größe und maß \U0001f600 世界\n" * 60, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    process = start("train", text_file, "--steps=10", *TINY, env=environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    process = start("sample", out.decode().strip(), "-n", 60, "-p", "größe", env=environment)
    assert process.communicate()[0].decode().startswith("größe")


def test_byte_level_from_end_to_end(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    result = grucli("train", "data.bin", "--set=data.level=byte", "--steps=10", *TINY)
    assert result.code == 0, result.err
    assert "5,120 bytes" in result.err
    run = result.out.strip()
    answer = json.loads(grucli("sample", run, "-n", "4", "--json").out)
    assert all(0 <= item["byte"] < 256 for item in answer["samples"][0]["bytes"])
    assert "characters" not in answer["samples"][0]
    assert grucli("eval", run, "data.bin").code == 0


def test_figures_of_a_model_of_bytes_are_per_byte_everywhere(
    grucli: Grucli, text_file: Path, trained: Path
) -> None:
    text_file.write_text(text_file.read_text("utf-8").replace("a", "\u00e4"), "utf-8")
    asked = ["train", text_file, "--set=data.level=byte", "--set=train.window=900", *TINY[:2]]
    result = grucli(*asked, "--set=train.log_every=1", "--steps=20", "--set=train.eval_every=10")
    run = Path(result.out.strip())
    shown = [result.err, (run / "report.html").read_text("utf-8"), repr(Run(run))]
    shown += [Run(run)._repr_html_(), repr(load(run).score("quiet"))]
    for command in (
        ["eval"],
        ["plot"],
        ["plot", "--by", "chars", "-o", "-"],
        ["report", "-o", "-"],
    ):
        done = grucli(command[0], run, *command[1:], *["text.txt"] * (command == ["eval"]))
        assert done.code == 0
        shown.append(done.out)
    for words in shown:
        plain = re.sub(r"<(style|script)>.*?</\1>", "", words, flags=re.DOTALL)
        assert not re.search(r"characters?\b|nats/char|bits/char|chars/s|bpc", plain), plain
        assert "byte" in plain
    for words in ("bpb", "bytes/s", "bits per byte by the frequencies", "nats = "):
        assert words in result.err, words
    answer = json.loads(grucli("eval", run, "text.txt", "--json").out)["total"]
    assert list(answer)[:3] == ["bytes", "nats_per_byte", "bits_per_byte"]
    (row,) = [one for one in json.loads(grucli("runs", "--json").out) if one["run"] == run.name]
    assert (row["level"], row["loss"] is not None) == ("byte", True)
    for command in ("plot", "report"):
        mixed = grucli(command, run, trained, "-o", "-")
        assert (mixed.code, mixed.out) == (2, "")
        assert f"{run} predicts bytes and {trained} predicts characters" in mixed.err


def test_a_reset_gate_after_the_product_is_checked_trained_and_sampled(grucli: Grucli) -> None:
    after = ("--set", "model.reset=after")
    checked = grucli("gradcheck", *after)
    assert checked.code == 0
    assert "layer.b_u" in checked.out
    grucli("corpus", "python-reference")
    small = ("--set", "model.hidden=12", "--set", "train.batch=8", "--set", "train.window=16")
    trained = grucli("train", "data/python-reference.txt", *after, *small, "--steps", "3")
    assert trained.code == 0, trained.err
    path = trained.out.strip()
    for command in (("sample", path, "--length", "5"), ("gradcheck", path)):
        assert grucli(*command).code == 0
    other = grucli(
        "train",
        "data/python-reference.txt",
        "--init-from",
        path,
        "--set",
        "model.reset=before",
        "--steps",
        "3",
    )
    assert other.code == 2
    assert "model.reset" in other.err


def output_of(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("optimization", ["-O", "-OO"])
def test_a_run_without_asserts_or_docstrings_is_the_same(
    optimization: str, text_file: Path
) -> None:
    grucli = ["-m", "grucli"]
    train = [*grucli, "train", text_file, "--steps=20", "--seed=1", "--set=train.workers=2", *TINY]
    runs = [Path(output_of(*train).strip()), Path(output_of(optimization, *train).strip())]
    ours, plain = (
        {Path(path).name: content for path, content in snapshot(one).items()} for one in runs
    )
    for clock in ("run.json", "metrics.csv", "report.html", "lock"):
        assert ours.pop(clock)
        assert plain.pop(clock)
    assert ours == plain
    for words in (["sample", runs[0], "--seed=1"], ["eval", runs[0], text_file, "--json"]):
        assert output_of(optimization, *grucli, *words) == output_of(*grucli, *words)


# ---- signals


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


def run_code(code: str, *args: object) -> tuple[int, str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
    return done.returncode, done.stderr.decode()


@posix
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
    assert run_code(code, "sample", trained) == (128 + number, "")


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_whose_exception_python_drops(number: signal.Signals, trained: Path) -> None:
    code = IN_CALLBACK.format(number=int(number))
    assert run_code(code, "sample", trained) == (128 + number, "")


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_answer(number: signal.Signals) -> None:
    assert run_code(AT_EXIT.format(number=int(number)), "--version") == (128 + number, "")


@posix
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


@posix
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


@posix
def test_signals_that_are_ignored_stay_so() -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN){AT_EXIT}"
    assert run_code(code.format(number=int(signal.SIGINT)), "--version") == (0, "")


# ---- terminals and pipes


@posix
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


@posix
def test_errors_are_printable_in_a_file_as_well(hostile_run: Path) -> None:
    assert "\x1b" not in start("sample", f"{hostile_run}x").communicate()[1].decode()


@posix
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


@posix
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


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["sample {} -n 5", "eval {} --split val"])
def test_standard_output_that_is_full_or_closed(command: str, trained: Path) -> None:
    command = f"{sys.executable} -m grucli {command.format(trained)}"
    for redirect, expected in [(">/dev/full", "No space left"), (">&-", "output is closed")]:
        done = subprocess.run(f"{command} {redirect}", shell=True, capture_output=True, check=False)
        assert done.returncode == 1
        assert expected in done.stderr.decode()
        assert b"Traceback" not in done.stderr
