"""Every bad input gets one clear message, exit code 2, and leaves nothing behind."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose


def write(name: str, content: str | bytes) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(autouse=True)
def _files() -> None:
    write("text.txt", prose(4000))
    write("cp1252.txt", b"It\x92s not UTF-8\n" * 50)
    write("one.txt", "a" * 100)
    write("small.txt", "abcdefg")
    with open("long.txt", "wb") as file:
        file.truncate(2**22 + 1)
    write("empty.txt", "")
    write("half.gz", gzip.compress(prose(4000).encode())[:300])
    write("broken.yaml", "train: [")
    write("unknown.yaml", "train:\n  batchsize: 3\nmodel:\n  hidden: big\n  layers: 0\n")
    Path("dir").mkdir()


def refused(grucli: Grucli, *args: object) -> str:
    before = snapshot(Path())
    result = grucli(*args)
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    assert snapshot(Path()) == before
    assert not Path("runs").exists()
    return result.err


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
            "train.minutes and train.steps are both given",
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
def test_train(grucli: Grucli, args: list[str], expected: str) -> None:
    assert expected in refused(grucli, "train", *args)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_runs_directory_that_cannot_be_written(grucli: Grucli) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "cannot make a run directory" in refused(
        grucli, "train", "text.txt", "--runs-dir", "locked/runs", *TINY
    )


def test_a_runs_directory_that_is_a_file(grucli: Grucli) -> None:
    message = refused(grucli, "train", "text.txt", "--runs-dir", "one.txt", "--steps=1", *TINY)
    assert "one.txt: cannot make a run directory here" in message
    assert "--runs-dir" in message


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--temperature", "-1"], "--temperature must be 0 or above, not -1.0"),
        (["--temperature", "nan"], "--temperature must be 0 or above, not nan"),
        (["--top-p", "0"], "--top-p must be above 0 and at most 1, not 0.0"),
        (["--top-p", "1.5"], "--top-p must be above 0 and at most 1, not 1.5"),
        (["--top-k", "0"], "--top-k"),
        (["--length", "-1"], "--length"),
        (["--count", "0"], "--count"),
        (["--unknown", "guess"], "'guess' is not one of 'error', 'skip'"),
        (["--prompt", "a", "--prompt-file", "text.txt"], "both given"),
        (["--prompt-file", "nothing.txt"], "nothing.txt: cannot read the prompt"),
        (["--prompt-file", "cp1252.txt"], "byte 0x92 at offset 2 of the text is not UTF-8"),
        (["--prompt-file", "long.txt"], "long.txt: the prompt has more than 4 MiB; keep its end"),
        (["--stop", "a" * 1001], "--stop takes texts of at most 1,000 characters"),
        (["--json", "--length", "9" * 4000, "--count", "9" * 4000], "--json keeps all samples in"),
        (["--json", "--length", "0", "--count", "2000001"], "must be at most 2,000,000 characters"),
        (
            ["--prompt", "Xué"],
            "the model never saw the characters 'X' LATIN CAPITAL LETTER X (U+0058), "
            "'é' LATIN SMALL LETTER E WITH ACUTE (U+00E9); --unknown skip leaves them out",
        ),
    ],
    ids=lambda value: "_".join(map(str, value))[:60] if isinstance(value, list) else "",
)
def test_sample(grucli: Grucli, trained: Path, args: list[str], expected: str) -> None:
    assert expected in refused(grucli, "sample", trained, *args)


@pytest.mark.parametrize("command", ["sample", "eval", "gradcheck"])
def test_what_is_not_a_checkpoint(grucli: Grucli, trained: Path, command: str) -> None:
    file = ["text.txt"] if command == "eval" else []
    good = next((trained / "checkpoints").glob("*.npz")).read_bytes()
    write("cut.npz", good[:1000])
    Path("young/checkpoints").mkdir(parents=True)
    for path, expected in [
        ("nothing", "there is no such run or checkpoint"),
        ("dir", "not a run directory"),
        ("young", "no checkpoint yet"),
        ("text.txt", "not a checkpoint, or a damaged one"),
        ("cut.npz", "not a checkpoint, or a damaged one"),
    ]:
        message = refused(grucli, command, path, *file)
        assert f"{path}: {expected}" in message


def test_a_checkpoint_from_a_newer_format(grucli: Grucli, trained: Path) -> None:
    with np.load(next((trained / "checkpoints").glob("*.npz"))) as arrays:
        members = dict(arrays)
    meta = json.loads(members["meta"].tobytes()) | {"format": 3}
    members["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez("new.npz", **members)
    assert "reads format 2: use the grucli that wrote it" in refused(grucli, "sample", "new.npz")


def test_eval(grucli: Grucli, trained: Path) -> None:
    write("odd.txt", "the Quiet é")
    write("single.txt", "a")
    assert "odd.txt: the model never saw the character" in refused(
        grucli, "eval", trained, "odd.txt"
    )
    assert "single.txt: the model knows 1 of its characters" in refused(
        grucli, "eval", trained, "single.txt"
    )
    assert "nothing.txt: there is no such file" in refused(grucli, "eval", trained, "nothing.txt")
    assert "is not utf-8" in refused(grucli, "eval", trained, "cp1252.txt")
    assert "is not one of" in refused(grucli, "eval", trained, "odd.txt", "--unknown", "x")


def test_resume_with_a_changed_architecture_names_the_keys(grucli: Grucli, trained: Path) -> None:
    before = snapshot(trained)
    message = refused(
        grucli, "train", "--resume", trained, "--set=model.hidden=8", "--set=optim.clip=9",
        "--set=train.log_every=9", "--steps=60",
    )  # fmt: skip
    assert "model.hidden: the run was started with 12; it cannot become 8" in message
    assert "optim.clip: the run was started with 1.0; it cannot become 9.0" in message
    assert "log_every" not in message
    assert snapshot(trained) == before


def test_resume_with_another_corpus(grucli: Grucli, trained: Path) -> None:
    write("other.txt", prose(4000, seed=3))
    message = refused(grucli, "train", "other.txt", "--resume", trained, "--steps", "60")
    assert f"other.txt: is not the text of {trained}; a resumed run keeps its text" in message
    assert "--init-from" in message
    write("other.txt", prose(4000) + "Ω")
    message = refused(grucli, "train", "other.txt", "--resume", trained, "--steps", "60")
    assert "OMEGA" in message
    assert "a resumed run keeps its text" in message


def test_resume_of_a_run_whose_budget_is_used_up(grucli: Grucli, trained: Path) -> None:
    message = refused(grucli, "train", "--resume", trained)
    assert "has used its budget: 30 of 30 steps; --steps counts from the start" in message
    assert "such as --steps 60" in message
    run = grucli("train", "text.txt", "--minutes=0.01", "-q", *TINY).out.strip()
    again = grucli("train", "--resume", run, "--minutes", "0.001")
    assert again.code == 2
    assert "of 0.001 minutes; --minutes counts from the start of the run" in again.err


def test_init_from_with_new_characters_lists_them(grucli: Grucli, trained: Path) -> None:
    write("new.txt", prose(3000) + "Ω")
    message = refused(grucli, "train", "new.txt", "--init-from", trained)
    assert "'Ω' GREEK CAPITAL LETTER OMEGA (U+03A9)" in message
    assert "keeps the vocabulary" in message


def test_init_from_with_another_architecture(grucli: Grucli, trained: Path) -> None:
    message = refused(grucli, "train", "text.txt", "--init-from", trained, "--set=model.layers=2")
    assert "model.layers:" in message
    assert "was trained with 1; it cannot become 2" in message


def test_gradcheck_of_a_checkpoint_without_its_run(grucli: Grucli, trained: Path) -> None:
    write("lost.npz", next((trained / "checkpoints").glob("*.npz")).read_bytes())
    assert "is outside its run directory" in refused(grucli, "gradcheck", "lost.npz")
    for option in (["--set", "model.layers=1"], ["--break", "route-1-direct"]):
        assert f"{option[0]} is for the small model; leave it out, or name no run" in refused(
            grucli, "gradcheck", "lost.npz", *option
        )
    assert "unknown key model.size" in refused(grucli, "gradcheck", "--set", "model.size=1")


def test_corpus_and_runs(grucli: Grucli) -> None:
    assert "there is no such corpus" in refused(grucli, "corpus", "shakespeare")
    assert "cannot be written" in refused(
        grucli, "corpus", "python-reference", "--output", "one.txt/x"
    )
    assert "no such directory" in refused(grucli, "runs", "nowhere")


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
