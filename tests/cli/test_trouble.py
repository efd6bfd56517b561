"""What happens when things go wrong in the middle, and how to go on."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grucli.run import checkpoint as checkpoints
from grucli.training.api import train_events
from grucli.training.events import Finished, Saved
from tests.cli.test_commands import start
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose

posix = pytest.mark.skipif(os.name == "nt", reason="needs signals, or bytes in file names")


def wait_for(process: subprocess.Popen[bytes], text: str) -> None:
    """Read what a process says until a line holds ``text``."""
    assert process.stderr is not None
    seen = b""
    while text.encode() not in seen:
        line = process.stderr.readline()
        assert line, seen.decode()
        seen = seen + line


def info(run: str | Path) -> dict[str, object]:
    return json.loads(Path(run, "run.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_resuming_a_finished_run_in_minutes_leaves_it_usable(
    grucli: Grucli, text_file: Path
) -> None:
    run = grucli("train", text_file, "--minutes", "0.02", "-q", *TINY).out.strip()
    grucli("train", "--resume", run)  # a moment may be left, or not
    assert grucli("sample", run, "-n", "5").code == 0


def test_patience_is_named_at_the_end_and_on_resume(grucli: Grucli, text_file: Path) -> None:
    result = grucli(
        "train", text_file, "--steps=500", *TINY, "--set=train.patience=1", "--set=optim.lr=1",
        "--set=optim.schedule=constant",
    )  # fmt: skip
    run = result.out.strip()
    assert "Stopped early: no better loss in 1 evaluation (train.patience;" in result.err
    assert "--resume" not in result.err  # longer training does not help
    before = snapshot(Path(run))
    again = grucli("train", "--resume", run)
    assert again.code == 2
    assert "did not improve in 1 evaluations (train.patience)" in again.err
    assert snapshot(Path(run)) == before


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
    assert info(next(Path("runs").iterdir()))["status"] == "interrupted"


def test_resume_takes_run_directories_alone(grucli: Grucli, trained: Path) -> None:
    before = snapshot(trained)
    checkpoint = next((trained / "checkpoints").glob("*.npz"))
    for path, expected in [
        (checkpoint, "--resume takes a run directory"),
        (trained / "metrics.csv", "--resume takes a run directory"),
        (trained / "nonexistent", "there is no such run"),
        (trained / "samples", "not a run directory"),
    ]:
        result = grucli("train", "--resume", path, "--steps", "99")
        assert result.code == 2
        assert expected in result.err
    assert snapshot(trained) == before


@posix
def test_two_processes_cannot_train_one_run(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    first = start("train", "--resume", run, "--epochs=9999")
    wait_for(first, "step     15")
    second = grucli("train", "--resume", run, "--epochs=9999")
    assert second.code == 2
    assert f"process {first.pid} is training this run" in second.err
    assert "running" in grucli("runs").out
    first.kill()
    first.communicate()
    assert "died" in grucli("runs").out
    assert grucli("train", "--resume", run, "--steps=30", "-q").code == 0


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
    assert info(run)["status"] == "failed"
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
    told = f"the system ended the training{name}: {error.strerror}; no checkpoint has been written"
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
    assert (info(path.parent)["status"], info(path.parent)["step"]) == ("done", 30)
    assert info(path.parent)["corpus"]["paths"] == [str(text_file)]  # type: ignore[index]


def test_a_run_that_was_killed_while_it_was_made_is_started_again(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    (run / "run.json").unlink()
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for text in ([], [text_file]):
        result = grucli("train", *text, "--resume", run)
        assert result.code == 2
        told = f"{run}: holds neither a checkpoint nor run.json, so it was stopped before"
        assert told in " ".join(result.err.split())


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    grucli: Grucli, text_file: Path, damage: str
) -> None:
    run = Path(grucli("train", text_file, "--steps=40", "-q", *TINY).out.strip())
    *_, before, last = sorted((run / "checkpoints").glob("*.npz"))
    content = last.read_bytes()
    if damage == "missing":
        last.unlink()
    else:
        flipped = content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]
        last.write_bytes(flipped if damage == "flipped" else content[:-2000])
    result = grucli("train", "--resume", run)
    assert result.code == 0
    assert f"continuing from {before.name}, the newest intact one" in " ".join(result.err.split())
    assert f"at step {int(before.stem[5:])}" in result.err
    assert last.read_bytes() == content  # as if nothing had happened
    assert grucli("sample", run, "-n", "5").code == 0


def test_a_run_without_a_sound_checkpoint_says_so(grucli: Grucli, text_file: Path) -> None:
    run = Path(grucli("train", text_file, "--steps=20", "-q", *TINY).out.strip())
    (run / "checkpoints" / "last.json").write_text("{", encoding="utf-8")
    result = grucli("train", "--resume", run, "--steps=22", "-q")
    assert result.code == 0
    assert "last.json: damaged" in result.err
    for path in (run / "checkpoints").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-2000])
    before = snapshot(run)
    result = grucli("train", "--resume", run, "--steps=30")
    assert result.code == 2
    assert "not a checkpoint, or a damaged one" in result.err
    assert snapshot(run) == before


def test_a_run_that_goes_on_elsewhere_is_told_what_has_changed(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    told = info(run)
    assert "in the last bits" not in grucli("train", "--resume", run, "--steps=12").err
    told["versions"]["numpy"] = "1.99.0"  # type: ignore[index]
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")
    result = grucli("train", "--resume", run, "--steps=14")
    assert result.code == 0
    assert "numpy was 1.99.0 and is" in result.err


def test_resume_mends_a_damaged_run_directory(grucli: Grucli, text_file: Path) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    (run / "metrics.csv").unlink()
    (run / "checkpoints" / ".step-00000020.npz.tmp-1-0123abcd").touch()
    (run / "samples" / ".step-00000020.txt.tmp-1-0123abcd").touch()
    (run / "samples" / "step-mine.txt").touch()
    assert grucli("train", "--resume", run, "--steps=20", "-q").code == 0
    assert not list(run.rglob(".*"))
    assert (run / "metrics.csv").is_file()
    (run / "run.json").write_text("{}", encoding="utf-8")
    for command in (["train", "--resume", run, "--steps=30"], ["gradcheck", run]):
        result = grucli(*command)
        assert result.code == 2
        assert "does not name the corpus" in result.err
    (run / "checkpoints" / "best.json").write_text('{"file": 5}', encoding="utf-8")
    assert "best.json: damaged" in grucli("sample", run).err


def test_a_file_of_metrics_that_grucli_did_not_write_is_refused_and_kept(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    metrics = run / "metrics.csv"
    sound = metrics.read_bytes()
    foreign = sound.replace(b"\n", b"\n\xff mine\n", 1)
    metrics.write_bytes(foreign)
    before = snapshot(run)
    for command in (["train", "--resume", run, "--steps=20", "-q"], ["plot", run]):
        result = grucli(*command)
        assert result.code == 2
        assert f"{metrics}: line 2 is not one that grucli writes" in " ".join(result.err.split())
        assert metrics.read_bytes() == foreign
    assert snapshot(run).keys() == before.keys()
    metrics.rename(run / "mine.csv")
    assert grucli("train", "--resume", run, "--steps=20", "-q").code == 0
    assert metrics.read_bytes().startswith(sound.partition(b"\n")[0])


def test_a_damaged_run_json_is_written_again_once_it_is_moved_away(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    (run / "run.json").write_text("[" * 100_000, encoding="utf-8")
    result = grucli("train", "--resume", run, "--steps=20")
    assert result.code == 2
    assert "move it away and give the corpus with --resume" in " ".join(result.err.split())
    (run / "run.json").unlink()
    assert "does not name the corpus" in grucli("train", "--resume", run, "--steps=20").err
    assert grucli("train", text_file, "--resume", run, "--steps=20", "-q").code == 0
    assert (info(run)["status"], info(run)["step"]) == ("done", 20)


@pytest.mark.parametrize("elapsed", ["null", '"abc"', "[]", "{}"])
def test_a_run_whose_time_used_is_damaged_goes_on(
    grucli: Grucli, text_file: Path, elapsed: str
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    text = (run / "run.json").read_text(encoding="utf-8")
    text = re.sub(r'"elapsed_s": [^,\n}]+', f'"mine": 1, "elapsed_s": {elapsed}', text)
    (run / "run.json").write_text(text, encoding="utf-8")
    assert grucli("train", "--resume", run, "--steps=12", "-q").code == 0
    assert info(run)["mine"] == 1


@posix
def test_a_corpus_that_has_become_a_pipe_is_not_waited_for(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.unlink()
    os.mkfifo(text_file)
    result = grucli("train", "--resume", run, "--steps=12")
    assert result.code == 2
    assert "is a pipe or a device; give the corpus again" in " ".join(result.err.split())


@posix
def test_one_damaged_run_does_not_hide_the_others(grucli: Grucli, trained: Path) -> None:
    shutil.copytree(trained, Path("runs", trained.name))
    for name, content in (("nested", b"[" * 100_000), ("latin", b"\xff"), ("pipe", b"")):
        Path("runs", name).mkdir()
        Path("runs", name, "run.json").write_bytes(content)
    Path("runs", "pipe", "run.json").unlink()
    os.mkfifo(Path("runs", "pipe", "run.json"))
    odd = {"status": "done", "step": None, "best": 3, "corpus": {"paths": "t.txt"}, "model": []}
    Path("runs", "odd").mkdir()
    Path("runs", "odd", "run.json").write_text(json.dumps(odd), encoding="utf-8")
    rows = {row["run"]: row for row in json.loads(grucli("runs", "--json").out)}
    assert rows.pop(trained.name)["step"] == 30
    assert rows.pop("odd")["status"] == "done"
    assert {row["status"] for row in rows.values()} == {"damaged run.json"}
    assert len(rows) == 3
    assert grucli("runs").code == 0


def test_a_moved_corpus_is_remembered(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.rename("moved.txt")
    assert "there is no such file" in grucli("train", "--resume", run, "--steps=12").err
    assert grucli("train", "moved.txt", "--resume", run, "--steps=12", "-q").code == 0
    assert grucli("train", "--resume", run, "--steps=14", "-q").code == 0


def test_gradcheck_wants_the_runs_own_text_or_one_named(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.write_text(prose(3000, seed=8), encoding="utf-8")
    result = grucli("gradcheck", run)
    assert result.code == 2
    assert "has changed since training; name a text" in result.err
    assert grucli("gradcheck", run, "--text", text_file).code == 0
    assert "--text is for a run or a checkpoint" in grucli("gradcheck", "--text", text_file).err
    assert "has no effect on a gradient check" in grucli("gradcheck", "--set", "optim.lr=1").err


def test_without_validation_text_no_validation_loss_is_shown(
    grucli: Grucli, text_file: Path
) -> None:
    result = grucli("train", text_file, "--steps=10", *TINY, "--set=data.val=0")
    assert " val " not in result.err
    assert "No validation text was held out" in result.err
    assert info(result.out.strip())["best"]["split"] == "train"  # type: ignore[index]


def test_a_run_too_short_to_learn_is_told_so(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--minutes=0.0001", *TINY)
    assert result.code == 0
    assert "Nothing learned yet" in result.err
    assert info(result.out.strip())["step"] == 1


def test_a_diverging_run_fails_in_words(grucli: Grucli, text_file: Path) -> None:
    result = grucli(
        "train", text_file, "--steps=200", *TINY, "--set=optim.lr=1e38", "--set=optim.warmup=0"
    )
    assert result.code == 1
    assert "Warning" not in result.err
    assert "start again with a lower learning rate, such as --set optim.lr=0.01" in result.err


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


def test_codecs_that_do_not_say_where(grucli: Grucli, text_file: Path, trained: Path) -> None:
    Path("wide.txt").write_bytes("wide".encode("utf-16"))
    result = grucli("train", "wide.txt", text_file, "--set", "data.encoding=utf-16")
    assert result.code == 2
    assert "text.txt: is not utf-16" in result.err
    Path("wide.txt").write_bytes("the quiet river".encode("utf-16"))
    assert grucli("eval", trained, "wide.txt", "--set", "data.encoding=utf-16").code == 0
    assert (
        "takes data.encoding only" in grucli("eval", trained, "wide.txt", "-s", "train.seed=1").err
    )


def test_what_is_not_text_is_named_and_refused(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 9)
    said = grucli("train", "data.bin").err
    assert "data.bin: this is binary data, not text: give a text file" in said
    Path("letter.docx").write_bytes(b"PK\3\4" + bytes(26) + b"word/document.xml" + bytes(99))
    said = " ".join(grucli("train", "letter.docx").err.split())
    assert "letter.docx: this is a Word document, not text: open it in the program" in said
    Path("letter.pdf").write_bytes(b"%PDF-1.7\n%\xe2\xe3")
    with Path("letter.pdf").open(encoding="latin-1") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert "-: this is a PDF document" in grucli("train", "-").err
    result = grucli("train", "letter.docx", "--set=data.level=byte", "--dry-run", *TINY)
    assert result.code == 0
    assert "its text: letter.docx (a Word document)" in " ".join(result.err.split())


def test_a_directory_is_read_without_the_files_that_are_not_text(
    grucli: Grucli, text_file: Path
) -> None:
    Path("dir").mkdir()
    shutil.copy(text_file, "dir/b.txt")
    Path("dir/a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    result = grucli("train", "dir", "--steps=2", *TINY)
    assert result.code == 0
    said = f"left out: {Path('dir/a.png')} (an image)"
    assert said in " ".join(result.err.split())
    assert said in " ".join(grucli("eval", result.out.strip(), "dir").err.split())
    assert grucli("train", "--resume", result.out.strip(), "--steps=3").code == 0
    Path("dir/b.txt").unlink()
    assert "none of the 1 files here is text; the first is an image" in grucli("train", "dir").err


def test_eval_counts_each_file_named_and_tells_what_it_skips(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text("the ΩΩ river", encoding="utf-8")
    result = grucli("eval", trained, "odd.txt", "odd.txt", "--unknown=skip")
    assert len(result.out.splitlines()) == 4
    assert "odd.txt: 2 characters that the model does not know are left out" in result.err
    assert "named twice" in grucli("eval", trained, "-", "-").err


def test_an_empty_stop_string(grucli: Grucli, trained: Path) -> None:
    assert "--stop needs a text" in grucli("sample", trained, "--stop", "").err


def test_a_binary_prompt_for_a_byte_level_model(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    run = grucli("train", "data.bin", "--set=data.level=byte", "--steps=2", "-q", *TINY).out.strip()
    Path("prompt.bin").write_bytes(b"\xff\xfe\x00")
    process = start("sample", run, "--prompt-file", "prompt.bin", "-n", "2", "--seed=1")
    assert process.communicate()[0].startswith(b"\xff\xfe\x00")


def test_corpus_to_standard_output(grucli: Grucli) -> None:
    assert len(grucli("corpus", "python-reference", "-o", "-").out) > 300_000
    assert "cannot be written" in grucli("corpus", "python-reference", "-o", ".").err


@posix
def test_a_file_name_that_is_not_utf8() -> None:
    name = os.fsdecode(b"bad\xffname.txt")
    Path(name).write_text(prose(4000), encoding="utf-8")
    process = start("train", name, "--steps=2", *TINY)
    out, err = process.communicate()
    assert process.returncode == 0, err
    again = start(
        "train",
        "--resume",
        out.decode().strip(),
        "--steps=4",
    )
    _, err = again.communicate()
    assert again.returncode == 0, err


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
    assert info(run)["status"] == "done"


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
    assert info(out.decode().strip())["status"] == "interrupted"


def test_two_workers_and_one_end_at_about_the_same_loss(grucli: Grucli, text_file: Path) -> None:
    losses = []
    for workers in (1, 2):
        run = grucli(
            "train", text_file, "--steps=20", "-q", *TINY, f"--set=train.workers={workers}"
        ).out.strip()
        losses.append(info(run)["best"]["loss"])  # type: ignore[index]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_that_was_killed_at_its_very_end_is_brought_to_it(
    grucli: Grucli, text_file: Path
) -> None:
    command = ["train", text_file, "--steps=30", "-q", "--set=train.keep=0", *TINY]
    run = Path(grucli(*command).out.strip())
    whole = sorted(path.name for path in (run / "checkpoints").iterdir())
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**info, "status": "running"}), encoding="utf-8")
    (run / "checkpoints/step-00000001.npz").write_bytes(b"what was to be removed")
    assert grucli("train", "--resume", run, "-q").code == 0
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == whole
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "done"
    assert "has used its budget" in grucli("train", "--resume", run, "-q").err
