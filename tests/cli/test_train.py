"""``grucli train``: a new run."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from grucli import __version__
from grucli.cli import narrate, render
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.training.api import train_events
from grucli.training.events import Evaluated, Finished, Saved
from tests.cli.helpers import (
    on_terminal,
    posix,
    refusal,
    replaced_by_link,
    run_info,
    start,
    unstyled,
    wait_for,
    without_reader,
)
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose

# ---- a new run


def test_train_prints_the_run_directory_and_says_what_it_does(
    grucli: Grucli, text_file: Path
) -> None:
    result = grucli("train", text_file, "--steps", "20", *TINY)
    assert result.code == 0
    run = Path(result.out.strip())
    assert result.out == f"{run}\n"
    assert run.is_dir()
    for part in [
        "4,000 characters",
        "3,600 to train, 400 to validate",
        "GRU, 1 x 12 units, ",
        "bits per character by the frequencies in the training text",
        "20 steps of 4 x 16 characters",
        "memory ",
        "time     about",
        "step     20  epoch",
        "best validation loss",
        f"grucli sample {run}",
        f"grucli page {run}",
        "The model is as uncertain about each character as",
        f"grucli eval {run} --split val",
        f"grucli train --resume {run} --steps 40",
    ]:
        assert part in result.err, part


@posix
@pytest.mark.parametrize("width", [60, 80])
def test_the_verdict_is_on_the_screen_at_the_end(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, sent = on_terminal("train", text_file, "--steps", "20", *TINY)
    assert code == 0
    *_, chart, verdict = re.split("(?=loss, nats per character, by step)", unstyled(sent))
    assert "\nbest validation loss" in verdict
    assert verdict.index("training ") < verdict.index("best validation loss")
    assert "\u2800" <= max(chart) <= "\u28ff"
    assert len(verdict.splitlines()) <= 24 - 1  # the last line is the prompt


def test_quiet_says_nothing(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--steps", "5", "--quiet", *TINY)
    assert result.err == ""
    assert Path(result.out.strip()).is_dir()


def test_a_short_text_shrinks_the_batch_and_says_so(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--steps=2", "--set=model.hidden=4", "--quiet")
    assert "note: the text is short, so each step reads 8 x 32 characters instead of 64 x 128" in (
        result.err
    )


def test_a_dry_run_writes_nothing(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--dry-run")
    assert (result.code, result.out) == (0, "")
    assert "parameters" in result.err
    assert list(snapshot(Path())) == ["text.txt"]


def test_defaults_suit_the_length_of_the_text_and_give_way(grucli: Grucli, text_file: Path) -> None:
    said = grucli("train", text_file, "--dry-run").err
    assert "dropout 0.5, weight_dropout 0.4, lr" in said
    printed = grucli("train", text_file, "--print-config").out
    assert "dropout: 0.5" in printed
    assert "chosen" not in grucli("train", text_file, "--dry-run", "--quiet").err
    given = grucli("train", text_file, "--dry-run", "--set=model.dropout=0.2", "--steps=7").err
    assert "dropout 0.2" in given
    assert "7 steps" in given


def test_the_learning_rate_suits_the_network_and_a_warm_start(
    grucli: Grucli, text_file: Path
) -> None:
    wide = grucli("train", text_file, "--dry-run", "--set", "model.hidden=1024")
    assert "lr 0.01;" in wide.err
    given = grucli(
        "train", text_file, "--dry-run", "--set", "model.hidden=1024", "-s", "optim.lr=0.3"
    )
    assert " lr " not in given.err
    first = grucli("train", text_file, "--steps", "3", *TINY, "-q").out.strip()
    second = grucli("train", text_file, "--steps", "3", "--init-from", first)
    assert "lr 0.048;" in second.err
    assert "lr: 0.048\n" in (Path(second.out.strip()) / "config.yaml").read_text("utf-8")


def test_printed_settings_are_accepted_again(grucli: Grucli) -> None:
    printed = grucli("train", "--print-config", "--set", "model.hidden=99", "--minutes", "2").out
    Path("s.yaml").write_text(printed, encoding="utf-8")
    assert grucli("train", "--print-config", "--config", "s.yaml").out == printed
    assert "hidden: 99" in printed


def test_the_files_of_a_run_are_described_and_hold_what_they_say(trained: Path) -> None:
    info = json.loads((trained / "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "done"
    assert info["step"] == 30
    assert info["corpus"]["chars"] == 4000
    assert info["versions"]["grucli"] == __version__
    with (trained / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == (
        [
            "step",
            "epoch",
            "chars",
            "split",
            "loss",
            "bpc",
            "lr",
            "grad_norm",
            "chars_per_s",
            "elapsed_s",
        ]
    )
    assert [int(row["step"]) for row in rows if row["split"] == "val"] == [10, 20, 30]
    best = json.loads((trained / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    assert set(best) == {"file", "step", "loss", "sha256"}
    assert "hidden: 12" in (trained / "config.yaml").read_text(encoding="utf-8")
    assert "train.steps: 30" in (trained / "overrides.yaml").read_text(encoding="utf-8")


def test_run_json_holds_the_command_lines(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps", 2, "-q", "--name", "a b", *TINY).out.strip()
    assert grucli("train", "--resume", run, "--steps=3", "-q").code == 0
    first, second = json.loads((Path(run) / "run.json").read_text(encoding="utf-8"))["commands"]
    assert first.startswith(f"grucli train {text_file} --steps 2 -q --name 'a b' --set")
    assert second == f"grucli train --resume {run} --steps=3 -q"


def test_a_run_never_reuses_a_directory(grucli: Grucli, text_file: Path) -> None:
    runs = {
        grucli("train", text_file, "--steps=1", "-q", "--name", "a b/c", *TINY).out.strip()
        for _ in range(3)
    }
    assert len(runs) == 3
    assert all("a-b-c" in run for run in runs)


def test_the_same_command_twice_makes_the_same_checkpoint(text_file: Path) -> None:
    hashes = set()
    for _ in range(2):
        process = start("train", text_file, "--steps=12", "-q", *TINY)
        run = process.communicate()[0].decode().strip()
        last = json.loads(Path(run, "checkpoints", "last.json").read_text(encoding="utf-8"))
        hashes.add(last["sha256"])
    assert len(hashes) == 1


def test_two_workers_and_one_end_at_about_the_same_loss(grucli: Grucli, text_file: Path) -> None:
    losses = []
    for workers in (1, 2):
        run = grucli(
            "train", text_file, "--steps=20", "-q", *TINY, f"--set=train.workers={workers}"
        ).out.strip()
        losses.append(run_info(run)["best"]["loss"])  # type: ignore[index]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_without_validation_text_no_validation_loss_is_shown(
    grucli: Grucli, text_file: Path
) -> None:
    result = grucli("train", text_file, "--steps=10", *TINY, "--set=data.val=0")
    assert " val " not in result.err
    assert "No validation text was held out" in result.err
    assert run_info(result.out.strip())["best"]["split"] == "train"  # type: ignore[index]


def test_a_run_too_short_to_learn_is_told_so(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--minutes=0.0001", *TINY)
    assert result.code == 0
    assert "Nothing learned yet" in result.err
    assert run_info(result.out.strip())["step"] == 1


def test_a_diverging_run_fails_in_words(grucli: Grucli, text_file: Path) -> None:
    result = grucli(
        "train", text_file, "--steps=200", *TINY, "--set=optim.lr=1e38", "--set=optim.warmup=0"
    )
    assert result.code == 1
    assert "Warning" not in result.err
    assert "start again with a lower learning rate, such as --set optim.lr=0.01" in result.err


@posix
@pytest.mark.parametrize("name", ["-d.txt", "--help", "a b.txt", "\x1b[31mred\x07.txt", b"\xff'"])
def test_suggested_commands_can_be_copied(name: str | bytes) -> None:
    path = os.fsdecode(name)
    Path(path).write_text(prose(4000), encoding="utf-8")
    training = start("train", f"--runs-dir=-{path}", *TINY, "--steps=2", "--", path)
    _, err = training.communicate()
    assert training.returncode == 0, err
    suggested = [line.strip() for line in err.decode().splitlines() if line.startswith("  grucli ")]
    assert len(suggested) == 4
    for command in suggested:
        words = command.replace("grucli", f"{sys.executable} -m grucli", 1)
        done = subprocess.run(["bash", "-c", words], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


# ---- bad input


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        # the corpus
        (["nothing.txt"], "nothing.txt: there is no such file"),
        (["dir"], "dir: there is no text in this directory"),
        (["empty.txt"], "empty.txt: the file is empty"),
        (["half.gz"], "half.gz: not a complete gzip file"),
        (
            ["cp1252.txt"],
            "cp1252.txt: byte 0x92 at offset 2 (line 1) is not utf-8 (invalid start byte); "
            "--set data.encoding=cp1252 reads this file",
        ),
        (["one.txt"], "only one symbol, 100 times"),
        (["small.txt"], "too small: 7 characters, of which data.val=0.1 takes 1"),
        ([], "name a text to train on"),
        (["text.txt", "-", "-"], "named twice"),
        # the settings
        (["text.txt", "--config", "nothing.yaml"], "nothing.yaml: cannot read the settings file"),
        (["text.txt", "--config", "broken.yaml"], "broken.yaml:1:9: not valid YAML"),
        (
            ["text.txt", "--config", "unknown.yaml"],
            "unknown.yaml: unknown key train.batchsize; did you mean train.batch?\n"
            "unknown.yaml: model.hidden: must be a valid integer, not 'big'\n"
            "unknown.yaml: model.layers: must be greater than or equal to 1, not 0",
        ),
        (["text.txt", "--set", "optim.lr=fast"], "optim.lr: must be a valid number, not 'fast'"),
        (["text.txt", "--set", "nonsense"], "--set nonsense: write --set section.key=value"),
        (["text.txt", "--set", "model.hidden=9999999"], "must be less than or equal to 65536"),
        (["text.txt", "--steps", "0"], "train.steps: must be greater than or equal to 1, not 0"),
        (["text.txt", "--minutes", "-1"], "train.minutes: must be greater than 0, not -1.0"),
        (["text.txt", "--seed", "-1"], "train.seed: must be greater than or equal to 0, not -1"),
        (["text.txt", "--set", "sample.prompt=X"], "'X' LATIN CAPITAL LETTER X (U+0058)"),
        # conflicts
        (
            ["text.txt", "--steps", "3", "--epochs", "2"],
            "train.steps and train.epochs are both given; keep one",
        ),
        (
            ["text.txt", "--steps", "3", "--set", "train.minutes=1"],
            "train.steps and train.minutes are both given",
        ),
        (["text.txt", "--steps", "3", "--set", "train.steps=4"], "by --set and by a flag"),
        (["text.txt", "--resume", "a", "--init-from", "b"], "keep one"),
        (["--resume", "runs/x", "--name", "y"], "--name and --runs-dir are for a new run"),
        (["--resume", "runs/x"], "runs/x: there is no such run or checkpoint"),
        (["--resume", "dir"], "dir: not a run directory"),
        (["text.txt", "--init-from", "nothing"], "nothing: there is no such run or checkpoint"),
        (["text.txt", "--wrong-flag"], "no such option"),
        (["text.txt", "--stepps", "3"], "--steps"),
    ],
    ids=lambda value: "_".join(map(str, value))[:60] if isinstance(value, list) else "",
)
def test_bad_input(grucli: Grucli, args: list[str], expected: str) -> None:
    assert expected in refusal(grucli, "train", *args)


@pytest.mark.usefixtures("bad_files")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_runs_directory_that_cannot_be_written(grucli: Grucli) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "cannot make a run directory" in refusal(
        grucli, "train", "text.txt", "--runs-dir", "locked/runs", *TINY
    )


@pytest.mark.usefixtures("bad_files")
def test_a_runs_directory_that_is_a_file(grucli: Grucli) -> None:
    message = refusal(grucli, "train", "text.txt", "--runs-dir", "one.txt", "--steps=1", *TINY)
    assert "one.txt: cannot make a run directory here" in message
    assert "--runs-dir" in message


@pytest.mark.parametrize(
    "value", ["sample.prompt=2020-13-45", "train.seed=0b_", f"optim.betas={'[' * 3000}"]
)
def test_values_that_yaml_chokes_on(grucli: Grucli, text_file: Path, value: str) -> None:
    result = grucli("train", text_file, "--set", value)
    assert result.code == 2
    assert "is not a YAML value; quote it" in result.err


@pytest.mark.parametrize("budget", ["--epochs=1e308", "--minutes=1e308"])
def test_absurd_budgets(grucli: Grucli, text_file: Path, budget: str) -> None:
    assert "must be less than or equal to" in grucli("train", text_file, budget).err


# ---- the files of a run


@posix
def test_a_report_is_written_after_the_checkpoint(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    write = RunWriter.write_report

    def note(run: RunWriter, page: str) -> None:
        pointer = run.checkpoints.pointer("last")
        saved.append(pointer and pointer.step)
        write(run, page)

    monkeypatch.setattr(RunWriter, "write_report", note)
    grucli("train", text_file, "--steps=20", "-q", *TINY)
    assert saved[:2] == [10, 20]


@posix
def test_training_ends_with_a_report_that_is_no_link(
    grucli: Grucli, run: Path, mine: Path, text_file: Path
) -> None:
    replaced_by_link(run / "report.html", mine / "step-00000999.txt")
    before = snapshot(mine)
    assert grucli("train", text_file, "--resume", run, "--steps=32").code == 0
    assert snapshot(mine) == before
    assert not (run / "report.html").is_symlink()


def test_a_full_disk_names_what_is_safe(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoints.write

    def full(path: Path, checkpoint: checkpoints.Checkpoint) -> None:
        if checkpoint.progress.step > 10:
            raise OSError(28, "No space left on device", str(path))
        original(path, checkpoint)

    monkeypatch.setattr(checkpoints, "write", full)
    result = grucli("train", text_file, "--steps=30", *TINY)
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "step-00000020.npz: cannot be written: No space left on device; training" in result.err
    assert "will try again (the checkpoint of step 10 is safe)" in result.err
    assert "step-00000020.npz: cannot be written: No space left on device; the" in result.err
    assert (
        "the checkpoint of step 10 is safe; after solving the problem, continue with" in result.err
    )
    run = next(Path("runs").iterdir())
    assert run_info(run)["status"] == "failed"
    monkeypatch.setattr(checkpoints, "write", original)
    assert grucli("train", "--resume", run).code == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EROFS, "Read-only file system", "/dev/shm/pym-1"),
    ],
)
def test_only_files_of_the_run_are_said_to_be_unwritable(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("grucli.training.step.Shards", fails)
    result = grucli("train", text_file, "--steps=30", *TINY)
    assert result.code == 1
    name = f": {error.filename}" if error.filename else ""
    told = f"the system ended the training{name}: {error.strerror}; the checkpoint of step 0 is"
    assert told in " ".join(result.err.split())
    assert "cannot be written" not in result.err


@pytest.mark.parametrize("content", ["[" * 100_000, None])
def test_a_run_json_that_is_damaged_during_training_is_written_again(
    text_file: Path, content: str | None
) -> None:
    changes = {"model.hidden": 4, "train.batch": 4, "train.window": 16, "train.eval_every": 10}
    for event in train_events(text_file, steps=30, settings=changes):
        path = next(Path("runs").iterdir()) / "run.json"
        for damaged in [path, path.parent / "checkpoints/last.json"] * isinstance(event, Saved):
            damaged.unlink()
            if content is not None:
                damaged.write_text(content, encoding="utf-8")
    assert isinstance(event, Finished)
    assert (run_info(path.parent)["status"], run_info(path.parent)["step"]) == ("done", 30)
    assert run_info(path.parent)["corpus"]["paths"] == [str(text_file)]  # type: ignore[index]


# ---- signals and closed streams


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_saves_and_says_how_to_go_on(text_file: Path, name: str, code: int) -> None:
    number = signal.Signals[name]
    process = start("train", text_file, "--epochs=9999", *TINY)
    assert process.stderr is not None
    seen = b""
    while b"step     10" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    run = out.decode().strip()
    assert "stopping after this step and saving" in err.decode()
    assert f"grucli train --resume {run}" in err.decode()
    info = json.loads(Path(run, "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "interrupted"
    assert info["step"] >= 10


@posix
def test_signals_that_are_ignored_do_not_stop_training(text_file: Path) -> None:
    ignored = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # as after "&" in a script
    process = start("train", text_file, "--epochs=9999", *TINY, preexec_fn=ignored)
    wait_for(process, "step     10")
    process.send_signal(signal.SIGINT)
    wait_for(process, "step     30")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


@posix
def test_a_terminal_that_is_closed_saves_the_run(text_file: Path) -> None:
    terminal, other = os.openpty()
    process = start(
        "train", text_file, "--epochs=9999", *TINY, "--set=train.eval_every=5",
        stdin=other, stdout=other, stderr=other, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    seen = b""
    while b"step      5" not in seen:
        seen += os.read(terminal, 10_000)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)  # as the system does to the session of a terminal
    assert process.wait(timeout=30) == 129
    info = run_info(next(Path("runs").iterdir()))
    assert info["status"] == "interrupted"


@posix
def test_a_run_stopped_before_its_first_evaluation_can_be_sampled(text_file: Path) -> None:
    process = start("train", text_file, "--epochs=9999", *TINY, "--set=train.eval_every=100000")
    wait_for(process, "step      5")
    process.send_signal(signal.SIGINT)
    run = process.communicate(timeout=30)[0].decode().strip()
    assert process.returncode == 130
    assert len(start("sample", run, "-n", "5").communicate()[0].decode()) == 6


@posix
def test_the_second_signal_stops_at_once(text_file: Path) -> None:
    slow = ["--set=model.hidden=300", "--set=train.batch=16", "--set=train.window=200"]
    process = start("train", text_file, "--epochs=9999", *TINY, *slow)
    wait_for(process, "time ")
    process.send_signal(signal.SIGTERM)
    wait_for(process, "press Ctrl-C again to stop at once")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert run_info(next(Path("runs").iterdir()))["status"] == "interrupted"


@posix
def test_a_signal_to_the_whole_group_spares_the_workers(text_file: Path) -> None:
    process = start(
        "train", text_file, "--epochs=9999", *TINY, "--set=train.workers=2", start_new_session=True
    )
    wait_for(process, "step      5")
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err.decode()
    assert "and saved at step" in err.decode()
    assert run_info(out.decode().strip())["status"] == "interrupted"


@posix
def test_a_stopped_run_says_so_to_a_reader_who_has_left(text_file: Path) -> None:
    run = without_reader("train", text_file, "--steps=100000", *TINY)
    wait_for(run, "best")
    run.send_signal(signal.SIGTERM)
    said = run.communicate()[1].decode()
    assert run.returncode == 143
    assert "--resume" in said


@posix
def test_training_goes_on_when_nobody_listens(text_file: Path) -> None:
    process = start("train", text_file, "--steps=60", *TINY)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.stdout is not None
    with process.stdout as stdout:
        run = stdout.read().decode().strip()
    assert process.wait(timeout=60) == 0
    assert run_info(run)["status"] == "done"


@posix
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_closed_streams_do_not_become_files_of_the_run(text_file: Path) -> None:
    words = f"{sys.executable} -m grucli train {text_file} --steps=400000 {' '.join(TINY)}"
    process = subprocess.Popen(f"exec {words} <&- >&- 2>&-", shell=True)
    try:
        deadline = time.monotonic() + 60
        while not list(Path("runs").glob("*/checkpoints/last.json")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        opened = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
    finally:
        process.kill()
        process.wait()
    assert opened == [os.devnull] * 3


def test_the_line_of_an_evaluation_fits_sixty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Evaluated(100_000, 123.45, 1.23456, 1.2, best=True)
    assert "epoch 123.45  train 1.2346  val 1.2000" in narrate._evaluation_line(event, "char")
    for width in (60, 80):
        console = render._Console(stderr=True, force_terminal=True, width=width)
        monkeypatch.setattr(render, "err", console)
        line = narrate._evaluation_line(event, "char")
        assert cell_len(line) <= width
        assert ("epoch" in line) == (width == 80)


def test_a_stop_is_told_although_somebody_has_deleted_last_json(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, run := tmp_path / "run")
    (run / "checkpoints" / "last.json").unlink()
    narrate.say_stopped(Run(run), [], at_once=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "the last checkpoint is of step unknown; resume with:" in told
