"""``grucli train`` on texts of every kind: directories, lists, rare and new characters."""

import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.data import cache
from grucli.errors import UnknownCharacterError
from grucli.files import sha256
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from tests.cli.helpers import LIST, last_checkpoint, posix, refusal, start, trained_on, write
from tests.conftest import TINY, Grucli
from tests.texts import prose

# ---- files, directories, standard input


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


def test_a_run_inside_the_directory_that_it_is_trained_on(grucli: Grucli) -> None:
    Path("texts").mkdir()
    write("texts/a.txt", prose(4000))
    run = trained_on(grucli, "texts", "--steps=2", "--runs-dir=texts/runs")
    assert grucli("train", "--resume", run, "--steps=3", "-q").code == 0


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
    assert last_checkpoint(unix).vocabulary == last_checkpoint(other).vocabulary
    np.testing.assert_array_equal(
        last_checkpoint(unix).model.params.flat, last_checkpoint(other).model.params.flat
    )
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
    assert ord("\r") in last_checkpoint(run).vocabulary.symbols
    warm = grucli("train", "other.txt", "--init-from", run, "--steps=2", "--dry-run", *TINY[3:])
    assert warm.code == 0
    assert "are read as" not in warm.err


def test_a_run_from_before_two_settings_keeps_its_line_ends(grucli: Grucli) -> None:
    write("other.txt", LIST.replace("\n", "\r\n"))
    run = trained_on(grucli, "other.txt", "--steps=2", "--set=data.newlines=keep")
    file = Run(run).checkpoints.find("last")
    checkpoint = last_checkpoint(run)
    data = checkpoint.settings.data.model_dump(exclude={"newlines", "separator"})

    def without(self: object, **_: object) -> dict[str, object]:
        return {**flat, "data": data}

    flat = checkpoint.settings.model_dump(mode="json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(checkpoint.settings), "model_dump", without)
        checkpoints.write(file, checkpoint)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    for line in ("  newlines: keep\n", "  separator: null\n"):
        assert line in config
        config = config.replace(line, "")
    (run / "config.yaml").write_text(config, encoding="utf-8")
    for pointer in ("best", "last"):
        path = run / "checkpoints" / f"{pointer}.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        told["sha256"] = sha256(file)
        path.write_text(json.dumps(told), encoding="utf-8")
    assert last_checkpoint(run).settings.data.newlines == "keep"
    assert grucli("eval", run, "--split=val").code == 0
    resumed = grucli("train", "--resume", run, "--steps=4", "-q")
    assert resumed.code == 0, resumed.err
    assert last_checkpoint(run).settings.data.newlines == "keep"


# ---- lists


def test_a_list_is_noticed_and_shown_in_columns(grucli: Grucli) -> None:
    words = [f"{'abcdefgh'[n % 8]}nn{n}" for n in range(400)]
    Path("names.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    said = grucli("train", "names.txt", "--dry-run", *TINY).err
    assert "the text looks like a list (361 short lines at its start" in said
    asked = ("--set=data.documents=line", "--set=sample.length=400", *TINY)
    said = grucli("train", "names.txt", "--steps=2", *asked).err
    assert "looks like a list" not in said
    assert len([line for line in said.splitlines() if line.startswith("  | ")]) <= 5
    Path("prose.txt").write_text(prose(4000), encoding="utf-8")
    assert "looks like a list" not in grucli("train", "prose.txt", "--dry-run", *TINY).err


@pytest.mark.parametrize(("every", "share"), [(1, "50%"), (100, None)])
def test_empty_lines_of_a_list_are_noted(grucli: Grucli, every: int, share: str | None) -> None:
    lines = LIST.splitlines()
    lines = [line + "\n" * (number % every == 0) for number, line in enumerate(lines)]
    write("list.txt", "\n".join(lines) + "\n")
    told = grucli("train", "list.txt", "--dry-run", "--set=data.documents=line", *TINY).err
    assert ("of the lines are empty" in told) == (share is not None)
    assert share is None or f"{share} of the lines are empty" in " ".join(told.split())
    assert "are empty" not in grucli("train", "list.txt", "--dry-run", *TINY).err


def test_a_sorted_list_is_noticed(grucli: Grucli) -> None:
    lines = LIST.splitlines(keepends=True)
    write("sorted.txt", "".join(sorted(2 * lines)))
    random.Random(0).shuffle(lines)
    write("shuffled.txt", "".join(2 * lines))
    listed = "--set=data.documents=line"
    assert "shuffle it first" in grucli("train", "sorted.txt", listed, "--dry-run", "-q").err
    assert "shuffle" not in grucli("train", "shuffled.txt", listed, "--dry-run", "-q").err
    assert "shuffle" not in grucli("train", "sorted.txt", "--dry-run").err


# ---- held-out text


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


# ---- long texts


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


# ---- rare characters


def test_rare_characters(grucli: Grucli) -> None:
    text = prose(4000) + "\u2603\u2604" + "\U0001f600"
    write("text.txt", text)
    result = grucli("train", "text.txt", "--steps=5", *TINY, "--set=data.min_count=2")
    assert "3 of them are rare and read as one unknown character" in result.err
    run = Path(result.out.strip())
    checkpoint = last_checkpoint(run)
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


def test_a_text_whose_beginning_is_all_rare(grucli: Grucli) -> None:
    write("text.txt", "".join(map(chr, range(0x4E00, 0x4E00 + 900))) + 50 * "ab")
    message = grucli("train", "text.txt", "--set=data.min_count=10", "--steps=1").err
    assert "only characters that are too rare" in message


def test_many_characters_and_little_memory(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.training.plan.physical_memory", lambda: 10**8)
    write("text.txt", "".join(map(chr, range(0x4E00, 0x6000))) + 20 * prose(3000))
    message = grucli("train", "text.txt", "--steps=1").err
    assert "training would need" in message
    assert "set data.min_count=10: 44 of 4," in message


def test_a_pipe_is_a_text_as_standard_input_is(grucli: Grucli) -> None:
    reader, writer = os.pipe()
    os.write(writer, prose(3000).encode())
    os.close(writer)
    trained = grucli("train", f"/dev/fd/{reader}", *TINY, "--steps=2")
    os.close(reader)
    run = trained.out.strip()
    assert run.endswith("-stdin")
    assert "grucli eval" not in trained.err
    advice = grucli("train", "--resume", run, "--steps=4").err
    assert f"give the same text again: grucli train - --resume {run} < TEXT" in advice


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["flat.txt", "--set=data.documents=line"], "the text has no second line"),
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
def test_texts_that_are_refused(
    grucli: Grucli, trained: Path, args: list[str], expected: str
) -> None:
    write("text.txt", prose(4000))
    write("flat.txt", prose(4000).replace("\n", " "))
    result = grucli("train", *[trained if arg == "RUN" else arg for arg in args])
    assert result.code == 2
    assert expected in result.err
    assert not Path("runs").exists()


# ---- documents

PARAGRAPHS = "".join(f"{LIST[40 * n : 40 * n + 30].strip()}\n\n" for n in range(80))
KINDS = {
    "paragraph": ("--set=data.documents=paragraph", "\n\n"),
    "separator": ("--set=data.separator=<|end|>", "\n---\n"),
    "file": ("--set=data.documents=file", "\n---\n"),
}


def documents(kind: str, line_end: str = "\n") -> str:
    """A file or a directory with the same documents, separated as the kind says."""
    texts = [text.replace("\n", line_end) for text in PARAGRAPHS.split("\n\n")]
    before = "crlf-" * (line_end == "\r\n")
    if kind != "file":
        mark = {"paragraph": 2 * line_end, "separator": f"{line_end}<|end|>{line_end}"}[kind]
        return write(f"{before}{kind}.txt", mark.join(texts))
    Path(f"{before}texts").mkdir(exist_ok=True)
    for number, text in enumerate(filter(None, texts)):
        write(f"{before}texts/{number:02}.txt", text + line_end)
    return f"{before}texts"


@pytest.mark.parametrize("kind", KINDS)
def test_documents_are_learned_sampled_and_resumed(grucli: Grucli, kind: str) -> None:
    asked, apart = KINDS[kind]
    source = documents(kind)
    options = (asked, "--set=optim.schedule=constant", "--set=data.test=0.1")
    whole = trained_on(grucli, source, *options, "--steps=20")
    half = trained_on(grucli, documents(kind, "\r\n"), *options, "--steps=10")
    assert grucli("train", "--resume", half, "--steps=20", "-q").code == 0
    left, right = last_checkpoint(half), last_checkpoint(whole)
    assert right.model.separator == right.vocabulary.id_of(0x1E)
    np.testing.assert_array_equal(left.model.params.flat, right.model.params.flat)
    run = Run(whole)
    assert all(part[-1] == run.lm.model.separator for part in vars(run.splits).values())
    lm = run.lm
    made = grucli("sample", whole, "-c", 3, "--seed", 1, "-n", 400).out
    samples = list(lm.samples(3, 400, seed=1))
    assert made == apart.join(sample.text for sample in samples) + "\n"
    assert "\x1e" not in made
    assert any(sample.end_log_prob is not None for sample in samples)
    written = next((whole / "samples").iterdir()).read_text(encoding="utf-8")
    assert "\x1e" not in written
    for command in (("eval", whole, "--split", "val"), ("eval", whole, source), ("report", whole)):
        assert grucli(*command, *["--force"] * (command[0] == "report")).code == 0
    page = grucli("page", whole, "-o", "page.html")
    assert page.code == 0, page.err
    write("prompt.txt", "night\n\n" if kind == "paragraph" else "night\n")
    prompted = grucli("sample", whole, "--prompt-file", "prompt.txt", "--seed", 2)
    assert prompted.out == grucli("sample", whole, "--prompt", "night", "--seed", 2).out
    assert "is left out" in prompted.err


def test_documents_score_as_they_are_read(grucli: Grucli) -> None:
    lm = Run(trained_on(grucli, documents("paragraph"), KINDS["paragraph"][0], "--steps=5")).lm
    sample = next(s for s in lm.samples(40, 400, seed=1) if s.end_log_prob is not None and s.text)
    nats = -sample.log_probs.sum() - sample.end_log_prob
    assert lm.score_lines([sample.text])[0] == pytest.approx(nats, rel=1e-4)
    assert lm.score_lines([f"\n{sample.text} \n"])[0] == pytest.approx(nats, rel=1e-4)
    others = lm.samples(5, 400, seed=1, not_in=f"{sample.text}\n\nnight\n")
    assert sample.text not in [other.text for other in others]
    two = lm.score_lines(["night\r\n\r\n\nstone"])[0]
    assert two == pytest.approx(lm.score_lines(["night", "stone"]).sum(), rel=1e-5)
    write("two.txt", "\nnight\n\nstone\n")
    assert lm.evaluate(lm.read("two.txt")).nats == pytest.approx(two, rel=1e-5)


def test_what_is_said_of_documents(grucli: Grucli) -> None:
    for kind, said in (
        ("paragraph", "each paragraph is read by itself"),
        ("file", "each file is read by itself"),
        ("separator", "each document is read by itself"),
    ):
        asked = ("train", documents(kind), KINDS[kind][0], "--dry-run", *TINY)
        assert said in grucli(*asked).err
    twice = write("twice.txt", 10 * PARAGRAPHS)
    told = grucli("train", twice, KINDS["paragraph"][0], "--dry-run", *TINY).err
    assert "are paragraphs that also stand in the training text" in told


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--set=data.documents=paragraph"], "the text has no empty lines"),
        (["--set=data.documents=file"], "the text has no second file"),
        (["--set=data.separator=QQ"], "data.separator=QQ: the text has no such mark"),
        (['--set=data.separator=""'], "data.separator: must have at least 1 character"),
        (["--set=data.separator=---"], "quote it"),
        (["--set=data.separator=x", "--set=data.documents=file"], "are both given"),
    ],
)
def test_documents_that_are_not_there(grucli: Grucli, asked: list[str], said: str) -> None:
    write("list.txt", LIST)
    assert said in refusal(grucli, "train", "list.txt", *asked)


def test_weights_of_paragraphs_learn_other_documents(grucli: Grucli) -> None:
    run = trained_on(grucli, documents("paragraph"), KINDS["paragraph"][0], "--steps=2")
    more = ("--init-from", run, "--steps=2", "-q", *TINY)
    kept = grucli("train", documents("paragraph"), *more)
    assert kept.code == 0
    assert Run(kept.out.strip()).settings.data.documents == "paragraph"
    other = ("--set=data.documents=null", KINDS["separator"][0])
    told = grucli("train", documents("separator"), *more, *other).err
    assert "data.documents is null here and was paragraph for" in told
    assert "data.separator is <|end|> here and was null for" in told
