"""Texts of every kind, from the command line: directories, lists, rare and new characters."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.config import Data
from grucli.data import cache
from grucli.data.corpus import read
from grucli.errors import CorpusError, UnknownCharacterError
from grucli.files import sha256
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.training.plan import make_plan
from grucli.training.start import resume
from tests.conftest import TINY, Grucli
from tests.texts import WORDS, prose

LIST = "".join(f"{word}{other}\n" for word in WORDS for other in WORDS[:12])


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8", newline="")
    return name


def trained_on(grucli: Grucli, *args: object) -> Path:
    result = grucli("train", *args, "-q", *TINY)
    assert result.code == 0, result.err
    return Path(result.out.strip())


def last(run: Path) -> checkpoints.Checkpoint:
    return checkpoints.read(Run(run).checkpoints.find("last"))


# ---- line ends


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
@pytest.mark.parametrize("documents", ["line", "null"])
def test_a_line_end_is_a_line_end(grucli: Grucli, line_end: str, documents: str) -> None:
    asked = ("--steps=2", f"--set=data.documents={documents}", *TINY)
    results = [
        grucli("train", write(name, LIST.replace("\n", ending)), *asked)
        for name, ending in (("unix.txt", "\n"), ("other.txt", line_end))
    ]
    note = f"{LIST.count(chr(10)):,} line ends are \\r\\n or \\r in the file and are read as \\n"
    assert [note in " ".join(result.err.split()) for result in results] == [False, True]
    unix, other = (Path(result.out.strip()) for result in results)
    assert last(unix).vocabulary == last(other).vocabulary
    np.testing.assert_array_equal(last(unix).model.params.flat, last(other).model.params.flat)
    for command in (("sample", "--seed=1"), ("eval", "--split=val")):
        assert (
            grucli(command[0], unix, *command[1:]).out
            == grucli(command[0], other, *command[1:]).out
        )
    scores = [
        json.loads(grucli("eval", unix, name, "--json").out)["total"]
        for name in ("unix.txt", "other.txt")
    ]
    assert scores[0] == scores[1]
    resumed = grucli("train", "--resume", other, "--steps=4", "-q")
    assert resumed.code == 0, resumed.err
    warm = grucli("train", "other.txt", "--init-from", unix, "--steps=2", "-q", *TINY[3:])
    assert warm.code == 0, warm.err


def test_line_ends_can_be_kept(grucli: Grucli) -> None:
    write("other.txt", LIST.replace("\n", "\r\n"))
    run = trained_on(grucli, "other.txt", "--steps=2", "--set=data.newlines=keep")
    assert ord("\r") in last(run).vocabulary.symbols
    warm = grucli("train", "other.txt", "--init-from", run, "--steps=2", "--dry-run", *TINY[3:])
    assert warm.code == 0
    assert "are read as" not in warm.err


def test_a_run_from_before_the_setting_keeps_its_line_ends(grucli: Grucli) -> None:
    write("other.txt", LIST.replace("\n", "\r\n"))
    run = trained_on(grucli, "other.txt", "--steps=2", "--set=data.newlines=keep")
    file = Run(run).checkpoints.find("last")
    checkpoint = last(run)
    data = checkpoint.settings.data.model_dump(exclude={"newlines"})

    def without(self: object, **_: object) -> dict[str, object]:
        return {**flat, "data": data}

    flat = checkpoint.settings.model_dump(mode="json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(checkpoint.settings), "model_dump", without)
        checkpoints.write(file, checkpoint)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("  newlines: keep\n", ""), encoding="utf-8")
    for pointer in ("best", "last"):
        path = run / "checkpoints" / f"{pointer}.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        told["sha256"] = sha256(file)
        path.write_text(json.dumps(told), encoding="utf-8")
    assert last(run).settings.data.newlines == "keep"
    assert grucli("eval", run, "--split=val").code == 0
    resumed = grucli("train", "--resume", run, "--steps=4", "-q")
    assert resumed.code == 0, resumed.err
    assert last(run).settings.data.newlines == "keep"


# ---- letters in the held-out text alone


def test_a_letter_in_the_held_out_text_alone_is_one_that_the_model_never_saw(
    grucli: Grucli,
) -> None:
    write("text.txt", prose(3000) + " A ž here. " + prose(200))
    run = trained_on(grucli, "text.txt", "--steps=10")
    named = "never saw the character 'ž' LATIN SMALL LETTER Z WITH CARON (U+017E) (in the held-out"
    write("line.txt", "A ž here.")
    for refused in (
        ("sample", run, "--prompt", "A ž"),
        ("page", run, "--passage", "line.txt"),
        ("train", "text.txt", "--steps=2", "--set=sample.prompt=A ž", *TINY),
        ("train", "--resume", run, "--steps=20", "--set=sample.prompt=A ž"),
    ):
        result = grucli(*refused)
        assert result.code == 2
        assert named in result.err
    assert len(list(Path("runs").iterdir())) == 1, "nothing is written before the prompt is checked"
    lm = library.load(run)
    for function in (lm.score, lm.states, lambda text: lm.score_lines([text])):
        with pytest.raises(UnknownCharacterError, match="held-out text alone"):
            function("A ž")
    assert lm.score("A ž here", unknown="skip").text == "A  here"
    losses = [
        json.loads(grucli("eval", run, *which, "--json").out)["total"]
        for which in (["--split=val"], ["line.txt"])
    ]
    assert losses[0]["nats_per_char"] == pytest.approx(Run(run).info.best.loss, rel=1e-6)
    assert losses[1]["characters"] == len("A ž here.") - 1
    for command in (("report", run), ("page", run), ("train", "--resume", run, "--steps=20")):
        assert grucli(*command).code == 0
    assert "surprising the text is" in (run / "report.html").read_text(encoding="utf-8")


def test_a_letter_that_the_old_weights_have_learned_stays_known(grucli: Grucli) -> None:
    write("old.txt", prose(3000) + " Ž and ž" + prose(900))
    old = trained_on(grucli, "old.txt", "--steps=5")
    write("new.txt", prose(2000, seed=1) + " a č" + prose(30))
    asked = ("--init-from", old, "--extend-vocabulary", "--set=sample.prompt=Žž", "--steps=5")
    result = grucli("train", "new.txt", *asked, "-q", *TINY[1:])
    assert result.code == 0, result.err
    new = result.out.strip()
    assert grucli("train", "--resume", new, "--steps=8", "-q").code == 0
    assert grucli("sample", new, "--prompt", "Žž").code == 0
    assert "never saw the character 'č'" in grucli("sample", new, "--prompt", "č").err


# ---- lists


def test_samples_of_a_list_end_by_themselves(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--epochs=4")
    made = grucli("sample", run, "-c", 20, "--seed", 1).out
    assert len(made.splitlines()) == 20
    assert max(map(len, made.splitlines())) < 100
    assert grucli("sample", run, "-c", 2, "--seed", 1, "--separator", " / ").out == (
        " / ".join(made.splitlines()[:2]) + "\n"
    )
    begun = grucli("sample", run, "-p", "night", "-c", 3, "--seed", 2).out.splitlines()
    assert all(line.startswith("night") for line in begun)
    samples = json.loads(grucli("sample", run, "-c", 2, "--seed", 1, "--json").out)["samples"]
    assert [sample["text"] for sample in samples] == made.splitlines()[:2]
    assert [len(sample["characters"]) for sample in samples] == [
        len(line) for line in made.splitlines()[:2]
    ]
    assert all(sample["end_log_prob"] < 0 for sample in samples)
    cut = json.loads(grucli("sample", run, "-n", 1, "--seed", 1, "--json").out)["samples"][0]
    assert cut["end_log_prob"] is None
    total = sum(one["log_prob"] for one in samples[0]["characters"]) + samples[0]["end_log_prob"]
    write("made.txt", samples[0]["text"] + "\n")
    scored = json.loads(grucli("eval", run, "made.txt", "--json").out)["total"]
    assert scored["nats_per_char"] * scored["characters"] == pytest.approx(-total, rel=1e-4)
    assert (run / "samples").exists()
    for command in (("eval", run, "list.txt"), ("gradcheck", run), ("routes", run)):
        assert grucli(*command).code == 0


def test_the_first_character_of_a_lists_validation_text_is_predicted(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=10")
    checkpoint = last(run)
    val = checkpoint.splits(read(["list.txt"], checkpoint.settings.data).ids).val
    Path("val.txt").write_bytes(checkpoint.vocabulary.decode(val))
    of_split = json.loads(grucli("eval", run, "--split=val", "--json").out)["total"]
    of_file = json.loads(grucli("eval", run, "val.txt", "--json").out)["total"]
    assert of_split == of_file
    assert of_split["characters"] == len(val)
    in_training = Run(run).info.best.loss
    assert in_training == pytest.approx(of_split["nats_per_char"], rel=1e-6)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_prompt_file_of_a_list_begins_a_line(grucli: Grucli, line_end: str) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=10")
    write("prompt.txt", "night" + line_end)
    asked = ("sample", run, "-n", 30, "-c", 3, "--seed", 1)
    result = grucli(*asked, "--prompt-file", "prompt.txt")
    assert result.out == grucli(*asked, "--prompt", "night").out
    assert len(result.out.splitlines()) == 3
    assert "prompt.txt: its last line end is left out" in result.err
    write("prompt.txt", "night")
    assert "line end" not in grucli(*asked, "--prompt-file", "prompt.txt").err
    verse = trained_on(grucli, write("verse.txt", LIST), "--steps=5")
    write("prompt.txt", "night" + line_end)
    whole = grucli("sample", verse, "--prompt-file", "prompt.txt", "--seed", 1)
    assert whole.out.startswith("night\n")
    assert "line end" not in whole.err


@pytest.mark.parametrize(("every", "share"), [(1, "50%"), (100, None)])
def test_empty_lines_of_a_list_are_noted(grucli: Grucli, every: int, share: str | None) -> None:
    lines = LIST.splitlines()
    lines = [line + "\n" * (number % every == 0) for number, line in enumerate(lines)]
    write("list.txt", "\n".join(lines) + "\n")
    told = grucli("train", "list.txt", "--dry-run", "--set=data.documents=line", *TINY).err
    assert ("of the lines are empty" in told) == (share is not None)
    assert share is None or f"{share} of the lines are empty" in " ".join(told.split())
    assert "are empty" not in grucli("train", "list.txt", "--dry-run", *TINY).err


def test_a_stopped_run_of_a_list_ends_as_the_uninterrupted_one(grucli: Grucli) -> None:
    write("list.txt", LIST)
    settings = ["--set=data.documents=line", "--set=optim.schedule=constant"]
    half = trained_on(grucli, "list.txt", *settings, "--steps=10")
    whole = trained_on(grucli, "list.txt", *settings, "--steps=20")
    assert grucli("train", "--resume", half, "--steps=20", "-q").code == 0
    left, right = last(half), last(whole)
    assert left.progress.step == right.progress.step == 20
    assert left.model.separator is not None
    np.testing.assert_array_equal(left.model.params.flat, right.model.params.flat)
    np.testing.assert_array_equal(left.state, right.state)


def test_a_file_of_a_list_ends_a_line(grucli: Grucli) -> None:
    Path("names").mkdir()
    for name in ("Anna", "Bert", "Cleo"):
        write(f"names/{name}.txt", name)
    listed = read(["names"], Data(documents="line"))
    assert listed.vocabulary.decode(listed.ids) == b"Anna\nBert\nCleo"
    plain = read(["names"], Data())
    assert plain.vocabulary.decode(plain.ids) == b"AnnaBertCleo"


def test_the_first_character_of_a_list_is_predicted(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=2")
    write("one.txt", "night\n")
    total = json.loads(grucli("eval", run, "one.txt", "--json").out)["total"]
    assert total["characters"] == 6


def test_a_validation_text_of_another_kind_is_noticed(grucli: Grucli) -> None:
    write("text.txt", prose(4000) + "\u0416\u0424\u0429 \u042f\u042d\u042e\n" * 50)
    said = grucli("train", "text.txt", "--steps=20", *TINY).err
    assert "note: the validation text, which comes last, is of another kind" in said
    guess = float(re.search(r"model: ([\d.]+) bits per character by the freq", said)[1])  # type: ignore[index]
    best = float(re.search(r"Guessing by frequency: among [\d.]+ \(([\d.]+) bits", said)[1])  # type: ignore[index]
    assert guess == pytest.approx(best, abs=0.005)
    assert guess > 9  # by the entropy of the training text it would be 4.3
    assert "So its loss does not show how well the model fits" in said
    assert "model.dropout=" not in said
    write("text.txt", prose(4400))
    assert "another kind" not in grucli("train", "text.txt", "--steps=20", *TINY).err


def test_a_sorted_list_is_noticed(grucli: Grucli) -> None:
    lines = LIST.splitlines(keepends=True)
    write("sorted.txt", "".join(sorted(2 * lines)))
    random.Random(0).shuffle(lines)
    write("shuffled.txt", "".join(2 * lines))
    listed = "--set=data.documents=line"
    assert "shuffle it first" in grucli("train", "sorted.txt", listed, "--dry-run", "-q").err
    assert "shuffle" not in grucli("train", "shuffled.txt", listed, "--dry-run", "-q").err
    assert "shuffle" not in grucli("train", "sorted.txt", "--dry-run").err


# ---- directories and long texts


def test_a_directory(grucli: Grucli) -> None:
    Path("texts/more").mkdir(parents=True)
    write("texts/a.txt", prose(2000))
    write("texts/more/b.txt", prose(2000, seed=1))
    result = grucli("train", "texts", "--dry-run")
    assert "corpus   texts (2 files)" in result.err
    run = trained_on(grucli, "texts", "--steps=3")
    assert run.name.endswith("-texts")
    assert grucli("train", "--resume", run, "--steps=4", "-q").code == 0
    assert grucli("eval", run, "--split", "val").code == 0
    write("texts/c.txt", "one more")
    assert "the corpus has changed" in grucli("train", "--resume", run, "--steps=5").err


def test_a_long_text_gives_the_same_run(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    write("text.txt", prose(4000))
    held = trained_on(grucli, "text.txt", "--steps=12")
    monkeypatch.setattr(cache, "IN_MEMORY", 1000)
    result = grucli("train", "text.txt", "--steps=12", *TINY)
    assert "cache    " in result.err
    mapped = Path(result.out.strip())
    for name in ("last", "best"):
        files = [Run(run).checkpoints.find(name).read_bytes() for run in (held, mapped)]  # type: ignore[arg-type]
        assert files[0] == files[1]
    assert grucli("train", "--resume", mapped, "--steps=14", "-q").code == 0
    assert grucli("eval", mapped, "text.txt", "--split", "val").code == 2
    assert grucli("eval", mapped, "--split", "val").code == 0


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_a_long_text_is_kept(number: signal.Signals) -> None:
    write("text.txt", prose(4000))
    code = "import os, signal, sys; from grucli import cli; from grucli.data import cache; "
    code += "cache.IN_MEMORY = 1000; "
    code += f"os.fsync = lambda _: os.kill(os.getpid(), {int(number)}); "
    code += "cli.main(['train', 'text.txt', '--dry-run'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 128 + number
    assert b"Traceback" not in done.stderr
    assert list(cache.directory().iterdir()) == []


def test_no_place_for_a_long_text(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    write("text.txt", prose(4000))
    monkeypatch.setattr(cache, "IN_MEMORY", 1000)
    monkeypatch.setenv("GRUCLI_CACHE", "/dev/full/cache")
    result = grucli("train", "text.txt", "--steps=1")
    assert result.code == 2
    assert "the encoded text cannot be kept here" in result.err
    assert not Path("runs").exists()


# ---- rare and new characters


def test_rare_characters(grucli: Grucli) -> None:
    text = prose(4000) + "\u2603\u2604" + "\U0001f600"
    write("text.txt", text)
    result = grucli("train", "text.txt", "--steps=5", *TINY, "--set=data.min_count=2")
    assert "3 of them are rare and read as one unknown character" in result.err
    run = Path(result.out.strip())
    checkpoint = last(run)
    assert checkpoint.vocabulary.unknown_id is not None
    biases = checkpoint.model.output(checkpoint.model.params).b_c
    biases[checkpoint.vocabulary.unknown_id] = 50.0  # the model now thinks of nothing else
    checkpoints.write(Path("odd.npz"), checkpoint)
    for options in ([], ["-t", 0], ["--top-k", 1], ["--top-p", 0.1], ["-c", 20]):
        made = grucli("sample", "odd.npz", "--seed", 1, "-n", 50, *options)
        assert made.code == 0
        assert "\ufffd" not in made.out
    echoed = grucli("sample", run, "-p", "\u2600 and", "-n", 5)
    assert "1 rare or new characters" in echoed.err
    assert echoed.out.startswith("\u2600 and")
    told = json.loads(grucli("sample", run, "-p", "\u2600 and", "-n", 5, "--json").out)
    assert told["prompt"] == "\u2600 and"
    write("other.txt", "a \u2600 b")
    assert grucli("eval", run, "other.txt").code == 0
    assert grucli("train", "--resume", run, "--steps=6", "-q").code == 0


def test_weights_of_another_text_and_characters_they_never_saw(
    grucli: Grucli, trained: Path
) -> None:
    write("new.txt", prose(4000, seed=3) + 30 * "\u00e9\u2603")
    refused = grucli("train", "new.txt", "--init-from", trained, "--steps=1")
    assert refused.code == 2
    assert "--unknown skip leaves these out" in refused.err
    assert "--extend-vocabulary learns them" in refused.err

    small = TINY[1:]
    result = grucli(
        "train", "new.txt", "--init-from", trained, "--unknown=skip", "--steps=3", *small
    )
    assert "60 characters that" in result.err
    skipping = Path(result.out.strip())
    assert last(skipping).text_id.skipped == 60
    assert grucli("train", "--resume", skipping, "--steps=4", "-q").code == 0
    assert grucli("eval", skipping, "--split", "val").code == 0

    result = grucli(
        "train", "new.txt", "--init-from", trained, "--extend-vocabulary", "--steps=1", *small,
        "--set=optim.lr=1e-9",
    )  # fmt: skip
    assert "2 characters are new" in result.err
    extended, old = (
        last(Path(result.out.strip())),
        checkpoints.read(Run(trained).checkpoints.find("best")),
    )
    places = extended.vocabulary.find(old.vocabulary.symbols)
    assert len(extended.vocabulary) == len(old.vocabulary) + 2
    for name, axis in (("layer1.W_x", 1), ("output.W_hc", 1), ("output.b_c", 0)):
        kept = np.take(extended.model.params[name], places, axis)
        np.testing.assert_allclose(kept, old.model.params[name], atol=1e-6)
    np.testing.assert_allclose(
        extended.model.params["layer1.W_h"], old.model.params["layer1.W_h"], atol=1e-6
    )
    assert extended.model.params["layer1.W_x"][
        :, extended.vocabulary.find(np.array([0x2603]))
    ].any()
    assert grucli("train", "--resume", result.out.strip(), "--steps=2", "-q").code == 0


def test_what_was_read_is_compared_on_resume(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("text.txt", prose(4000) + "\u2603")
    run = trained_on(grucli, "text.txt", "--steps=2", "--set=data.min_count=2")
    checkpoint = last(run)
    text = checkpoint.text_id
    checkpoint.text_id = replace(text, chars=text.chars - 1)
    with pytest.raises(CorpusError, match="has changed"):
        resume(
            make_plan(checkpoint.settings, read(["text.txt"], checkpoint.settings.data)), checkpoint
        )


def test_standard_input_extends_a_vocabulary(grucli: Grucli, trained: Path) -> None:
    text = prose(4000, seed=3) + 30 * "\u00e9\u2603"
    command = [sys.executable, "-m", "grucli", "train", "-", "--init-from", str(trained)]
    done = subprocess.run(
        [*command, "--extend-vocabulary", "--dry-run"], input=text.encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert b"2 characters are new" in done.stderr


def test_new_characters_do_not_drown_the_old_ones(grucli: Grucli, trained: Path) -> None:
    new = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    write("new.txt", prose(3000, seed=5) + new)
    args = ["new.txt", "--init-from", trained, "--extend-vocabulary", "--steps=1"]
    run = trained_on(grucli, *args, "--set=optim.lr=1e-9", "--set=data.val=0.2")
    write("old.txt", prose(3000, seed=6))
    losses = [
        json.loads(grucli("eval", one, "old.txt", "--json").out)["total"]["nats_per_char"]
        for one in (trained, run)
    ]
    assert losses[1] - losses[0] < 0.25


def test_runs_that_read_a_text_differently_are_not_compared(grucli: Grucli, trained: Path) -> None:
    write("new.txt", prose(4000, seed=3) + 30 * "\u00e9\u2603")
    small = ["new.txt", "--steps=1", "--set=model.hidden=12"]
    runs = [
        trained_on(grucli, *small),
        trained_on(grucli, *small, "--init-from", trained, "--unknown=skip"),
    ]
    assert "read or divide their text differently" in grucli("compare", "--runs", *runs).err


def test_a_text_whose_beginning_is_all_rare(grucli: Grucli) -> None:
    write("text.txt", "".join(map(chr, range(0x4E00, 0x4E00 + 900))) + 50 * "ab")
    message = grucli("train", "text.txt", "--set=data.min_count=10", "--steps=1").err
    assert "only characters that are too rare" in message


def test_a_run_inside_the_directory_that_it_is_trained_on(grucli: Grucli) -> None:
    Path("texts").mkdir()
    write("texts/a.txt", prose(4000))
    run = trained_on(grucli, "texts", "--steps=2", "--runs-dir=texts/runs")
    assert grucli("train", "--resume", run, "--steps=3", "-q").code == 0


def test_routes_end_where_a_document_begins(grucli: Grucli) -> None:
    write("list.txt", 300 * "ab\nba\n")
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=2")
    result = grucli("routes", run, "-k", 1, "--distance", 9)
    assert "no gradient reaches further back: documents begin there" in result.out
    shares = json.loads(grucli("routes", run, "-k", 1, "--json").out)["shares_by_distance"]
    assert shares
    assert all(sum(named.values()) == pytest.approx(1.0) for named in shares.values())


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["flat.txt", "--set=data.documents=line"], "the text has no line ends"),
        (["text.txt", "--set=data.min_count=9999"], "leaves none of the"),
        (["text.txt", "--set=data.min_count=2", "--set=data.level=byte"], "min_count is for char"),
        (["text.txt", "--unknown=skip"], "can only be used with --init-from"),
        (["text.txt", "--extend-vocabulary"], "can only be used with --init-from"),
        (
            ["text.txt", "--init-from", "RUN", "--extend-vocabulary", "--unknown", "skip"],
            "keep one",
        ),
        (["text.txt", "--init-from", "RUN", "--set=data.min_count=3"], "data.min_count"),
    ],
)
def test_refused(grucli: Grucli, trained: Path, args: list[str], expected: str) -> None:
    write("text.txt", prose(4000))
    write("flat.txt", prose(4000).replace("\n", " "))
    result = grucli("train", *[trained if arg == "RUN" else arg for arg in args])
    assert result.code == 2
    assert expected in result.err
    assert not Path("runs").exists()


def test_many_characters_and_little_memory(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.training.plan.physical_memory", lambda: 10**8)
    write("text.txt", "".join(map(chr, range(0x4E00, 0x6000))) + 20 * prose(3000))
    message = grucli("train", "text.txt", "--steps=1").err
    assert "training would need" in message
    assert "set data.min_count=10: 44 of 4," in message


def test_a_text_that_is_given_twice_is_noticed(grucli: Grucli) -> None:
    text = prose(3000)
    Path("a.txt").write_text(text, encoding="utf-8")
    Path("b.txt").write_text(prose(3000, seed=1), encoding="utf-8")
    Path("c.txt.gz").write_bytes(gzip.compress(Path("a.txt").read_bytes()))
    said = grucli("train", "a.txt", "b.txt", "c.txt.gz", "--dry-run", *TINY).err
    assert "the text contains files twice: c.txt.gz has the content of a.txt" in said
    said = grucli("train", "a.txt", "a.txt", "--dry-run", *TINY).err
    assert "a.txt has the content of a.txt" in said
    assert "twice" not in grucli("train", "a.txt", "b.txt", "--dry-run", *TINY).err


@pytest.mark.parametrize("documents", ["null", "line"])
def test_held_out_lines_that_are_also_training_lines_are_noticed(
    grucli: Grucli, documents: str
) -> None:
    lines = [f"{prose(60, seed=n)[:50].strip()} {n}" for n in range(200)]
    asked = ("--dry-run", f"--set=data.documents={documents}", *TINY)
    for kind, all_lines in (("twice", lines + lines), ("once", lines)):
        Path(f"{kind}.txt").write_text("\n".join(all_lines) + "\n", encoding="utf-8")
    found = "of the validation text are lines that also stand in the training text"
    assert found in grucli("train", "twice.txt", *asked).err
    assert found not in grucli("train", "once.txt", *asked).err


def test_eval_says_that_a_text_was_trained_on(
    grucli: Grucli, trained: Path, text_file: Path
) -> None:
    found = "the model was trained on this text"
    assert found in grucli("eval", trained, text_file).err  # the same bytes at another place
    Path("new.txt").write_text(prose(500, seed=9), encoding="utf-8")
    assert found not in grucli("eval", trained, "new.txt").err
    Path("dir").mkdir()
    for name in "ab":
        Path(f"dir/{name}.txt").write_text(prose(2000, seed=ord(name)), encoding="utf-8")
    run = grucli("train", "dir", "--steps=2", "-q", *TINY).out.strip()
    assert found in grucli("eval", run, "dir/a.txt").err  # one of its files
    assert found not in grucli("eval", run, "new.txt").err
    assert found not in grucli("eval", run, "--split", "val").err
