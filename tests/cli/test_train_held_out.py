"""``grucli train --val FILE --test FILE``: texts for validation and test in files of their own."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli as library
from grucli.errors import ArgumentError, CorpusError, GrucliError
from grucli.exchange.description import describe
from grucli.files import sha256
from grucli.run.report import report
from grucli.run.run import Run
from grucli.training.preparation import _same_text
from tests import oracle
from tests.cli.helpers import LIST, refusal, run_info, trained_on, write
from tests.conftest import TINY, Grucli
from tests.texts import prose

TRAIN, VAL, TEST = prose(4000), prose(600, seed=1), prose(500, seed=2)
THREE = ("train.txt", "--val", "valid.txt", "--test", "test.txt")
SMALL: dict[str, Any] = {"model.hidden": 8, "train.batch": 4, "train.window": 16}


@pytest.fixture(autouse=True)
def _files() -> None:
    write("train.txt", TRAIN)
    write("valid.txt", VAL)
    write("test.txt", TEST)


def small(*sources: str, **options: Any) -> Run:
    settings = SMALL | {"train.workers": 1, "sample.length": 0} | options.pop("settings", {})
    return library.train(*sources, **{"steps": 6, "settings": settings, **options})


def figures(grucli: Grucli, run: Path, *words: str) -> dict[str, float]:
    result = grucli("eval", run, *words, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["total"]  # type: ignore[no-any-return]


def loop(run: Run, text: str) -> float:
    """The mean loss of a text by a plain loop from the zero state; of a list, for each line."""
    lm = library.load(run.path)
    model, symbols = lm.model.astype(np.float64), lm.vocabulary.symbols.tolist()
    lines = text.splitlines(keepends=True)
    total = predicted = 0.0
    for part in [text] if model.separator is None else [f"\n{line}" for line in lines]:
        ids = np.array([symbols.index(ord(one)) for one in part])[:, None]
        total += oracle.loss(model, ids[:-1], ids[1:], model.zero_state(1))[0]
        predicted += len(ids) - 1
    return total / predicted


@pytest.mark.parametrize("kind", ["prose", "list"])
def test_the_losses_are_those_of_a_plain_loop_over_each_file(grucli: Grucli, kind: str) -> None:
    parts, words = (
        [TRAIN, VAL, TEST],
        ["--steps=10", "--set=model.hidden=6", "--set=train.workers=1"],
    )
    if kind == "list":
        lines = LIST.splitlines()
        parts = ["\n".join(part) for part in (lines[:200], lines[200:250], lines[250:280])]
        words += ["--set=data.documents=line"]
    for name, part in zip(("train.txt", "valid.txt", "test.txt"), parts, strict=True):
        write(name, part)
    run = trained_on(grucli, *THREE, *TINY, *words)
    opened = Run(run)
    assert opened.lm.decode(opened.split("train")) == parts[0]
    for split, file, part in zip(("val", "test"), THREE[2::2], parts[1:], strict=True):
        assert opened.lm.decode(opened.split(split)) == part
        expected = pytest.approx(loop(opened, part))
        assert figures(grucli, run, "--split", split)["nats_per_char"] == expected
        assert figures(grucli, run, file)["nats_per_char"] == expected
        assert split == "test" or opened.info.best.loss == expected


def test_three_files_train_as_one_text_with_the_same_parts() -> None:
    whole = write("whole.txt", TRAIN + VAL + TEST)
    size = len(TRAIN + VAL + TEST)
    given = {"data.val": len(VAL) / size, "data.test": len(TEST) / size}
    settings = SMALL | {"train.workers": 1, "model.dropout": 0.2, "train.eval_every": 3}
    settings |= {"optim.lr": 0.01, "model.weight_dropout": 0.0, "train.patience": 0}
    one = library.train(whole, steps=6, settings=settings | given)
    three = library.train("train.txt", val="valid.txt", test="test.txt", steps=6, settings=settings)
    weights = [run.checkpoint.model.params.flat for run in (one, three)]
    assert np.array_equal(*weights)
    assert one.rows()[-1].loss == three.rows()[-1].loss
    for split in ("train", "val", "test"):
        assert np.array_equal(one.split(split), three.split(split))


def test_runs_of_one_text_have_the_checkpoints_that_they_had(grucli: Grucli) -> None:
    run = trained_on(grucli, "train.txt", "--steps=2")
    with np.load(Run(run).file) as members:
        meta = json.loads(members["meta"].tobytes())
    assert list(meta["corpus"]) == ["sha256", "chars", "skipped", "unseen"]
    assert meta["settings"]["data"] | {"val": 0.1, "test": 0.0} == meta["settings"]["data"]
    assert list(run_info(run)["corpus"]) == [  # type: ignore[call-overload]
        "paths", "bytes", "chars", "level", "symbols", "skipped", "rare", "sha256",
    ]  # fmt: skip


def test_notes_on_held_out_texts_are_about_what_they_hold(grucli: Grucli) -> None:
    write("train.txt", TRAIN.lower() * 3)
    write("valid.txt", VAL.lower() + "Q")
    write("same.txt", VAL.lower() + "Q")
    words = ("--val=valid.txt", "--val=same.txt", *TINY, "--steps=1", "--set=data.min_count=3")
    told = " ".join(grucli("train", "train.txt", *words).err.split())
    assert "the text contains files twice: " in told
    assert "in both the training part" not in told
    assert "the training text lacks" not in told  # 'Q' is rare, and so one unknown character
    told = " ".join(grucli("train", "train.txt", *words[:-1]).err.split())
    assert "the training text lacks 'Q'" in told


def test_a_pipe_is_no_held_out_text(grucli: Grucli) -> None:
    reader, writer = os.pipe()
    os.write(writer, VAL.encode())
    os.close(writer)
    message = refusal(grucli, "train", "train.txt", f"--val=/dev/fd/{reader}")
    os.close(reader)
    assert "can be read only once; a held-out text must be a file" in message


def test_a_run_records_its_texts_and_goes_on_with_them(grucli: Grucli) -> None:
    run = trained_on(grucli, *THREE, "--steps=10", "--name=a")
    held_out = run_info(run)["corpus"]["held_out"]  # type: ignore[index]
    assert held_out["val"]["paths"] == [str(Path("valid.txt").resolve())]
    assert held_out["val"]["sha256"] == sha256(Path("valid.txt"))
    assert (held_out["test"]["chars"], held_out["test"]["bytes"]) == (len(TEST), len(TEST))
    assert held_out["test"]["sha256"] in (run / "report.html").read_text(encoding="utf-8")
    trained_on(grucli, "--resume", run, "--steps=20")
    whole = trained_on(grucli, *THREE, "--steps=20", "--name=a")
    assert sha256(Run(run).checkpoints.find("last")) == sha256(Run(whole).checkpoints.find("last"))
    by_file = grucli("train", "train.txt", "--config", run / "config.yaml", "--steps=20", "-q")
    again = Path(by_file.out.strip())
    assert sha256(Run(again).checkpoints.find("last")) == sha256(Run(run).checkpoints.find("last"))


def test_a_text_that_has_moved_is_named_again(grucli: Grucli, tmp_path: Path) -> None:
    run = trained_on(grucli, *THREE, "--steps=10")
    shutil.move("valid.txt", "elsewhere.txt")
    missing = grucli("train", "--resume", run, "--steps=20")
    assert "valid.txt: the text of the run is not there; name it where it lies: " in missing.err
    assert f"grucli train --val FILE --resume {run}\n" in missing.err
    assert "is not the text of" in grucli("train", "--resume", run, "--val", "test.txt").err
    fraction = grucli("train", "--resume", run, "--set=data.val=0.2")
    assert "data.val: the run was started with" in fraction.err
    before = figures(grucli, run, "--split=test")
    trained_on(grucli, "--resume", run, "--val", "elsewhere.txt", "--steps=20")
    earlier = run / "checkpoints" / "step-00000010.npz"  # which names the old place
    assert figures(grucli, earlier, "--split=val")["characters"] == len(VAL) - 1
    assert figures(grucli, earlier, "--split=test") == before


@pytest.mark.parametrize("changed", ["train.txt", "valid.txt", "test.txt"])
def test_a_text_that_has_changed_is_refused_by_its_hash(grucli: Grucli, changed: str) -> None:
    run = trained_on(grucli, *THREE, "--steps=5")
    text = Path(changed).read_text(encoding="utf-8")
    for other in (text[:-1] + "!", text.replace("e", "é")):
        write(changed, other)
        split = {"train.txt": "train", "valid.txt": "val", "test.txt": "test"}[changed]
        refused = grucli("eval", run, "--split", split)
        assert refused.code == 2
        assert f"{changed}: the " in refused.err
        assert "the text has changed since training; name a text" in refused.err
        resumed = grucli("train", "--resume", run).err
        assert f"{changed}: the " in resumed
        assert "the corpus has changed" in resumed
    assert grucli("page", run, "-o", "page.html").code == 0
    for name, words in {  # each file is read by itself
        "train.txt": ("sample", run, "--new", "-n", 5),
        "valid.txt": ("eval", run, "--split", "val"),
        "test.txt": ("eval", run, "--split", "test"),
    }.items():
        assert grucli(*words).code == 2 * (name == changed)


def test_a_text_that_is_gone_is_missing_where_it_is_needed(grucli: Grucli) -> None:
    run, other = (trained_on(grucli, *THREE, "--steps=5", "--seed", seed) for seed in (1, 2))
    Path("test.txt").unlink()
    assert grucli("sample", run, "--new", "-n", 5).code == 0
    assert grucli("eval", run, "--split", "train").code == 0
    assert grucli("routes", run, "--positions", 4).code == 0
    merged = grucli("merge", run, other)
    assert "not scaled" not in merged.err
    assert Run(Path(merged.out.strip())).info.best.loss is not None
    assert "test.txt: the text of the run is not there" in refusal_of(grucli, run, "test")
    Path("valid.txt").unlink()
    assert "the merged logits are not scaled" in grucli("merge", run, other, "--name=b").err
    assert "valid.txt: the text of the run is not there" in refusal_of(grucli, run, "val")


def refusal_of(grucli: Grucli, run: Path, split: str) -> str:
    result = grucli("eval", run, "--split", split)
    assert result.code == 2
    return result.err


def test_texts_beside_a_run_that_has_moved_are_found(
    grucli: Grucli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("letters").mkdir()
    shutil.move("train.txt", "letters/a.txt")
    run = trained_on(grucli, "letters", *THREE[1:], "--steps=5")
    before = [figures(grucli, run, "--split", split) for split in ("train", "val", "test")]
    there = tmp_path / "there"
    there.mkdir()
    for name in (run.name, "letters", "valid.txt", "test.txt"):
        shutil.move(run if name == run.name else name, there / name)
    monkeypatch.chdir(there)
    moved = Path(run.name)
    after = [figures(grucli, moved, "--split", split) for split in ("train", "val", "test")]
    assert after == before
    trained_on(grucli, "--resume", moved, "--steps=8")


def test_a_finished_run_learns_where_its_texts_are(grucli: Grucli) -> None:
    run = trained_on(grucli, *THREE, "--steps=5")
    Path("elsewhere").mkdir()
    for name in ("train.txt", "test.txt"):
        shutil.move(name, f"elsewhere/{name}")
    told = grucli("train", "elsewhere/train.txt", "--test=elsewhere/test.txt", "--resume", run)
    assert told.code == 2
    assert f"{run} names its text where it lies now\n" in told.err
    assert "the run has used its budget" in told.err
    for split, size in (("train", len(TRAIN) - 1), ("test", len(TEST) - 1)):
        assert figures(grucli, run, "--split", split)["characters"] == size
    assert "names its text" not in grucli("train", "--resume", run).err


def test_held_out_texts_of_rare_characters_alone(grucli: Grucli) -> None:
    write("valid.txt", "Ж☃Ω" * 20)
    run = Run(trained_on(grucli, *THREE, "--steps=5", "--set=data.min_count=100"))
    assert run.lm.decode(run.split("val")[:2]) == "\ufffd\ufffd"


def test_runs_judged_on_other_texts_are_not_compared(grucli: Grucli) -> None:
    runs = [trained_on(grucli, *THREE, "--steps=5", "--seed=1")]
    write("valid.txt", prose(600, seed=3))
    runs.append(trained_on(grucli, *THREE, "--steps=5", "--seed=2"))
    page = report(*runs).html
    assert "losses on different texts cannot be compared" in page
    assert "seed alone" not in page


def test_characters_of_the_held_out_texts_alone(grucli: Grucli) -> None:
    write("valid.txt", VAL + "Ж☃")
    said = grucli("train", *THREE, "--steps=5", "-q", *TINY)
    told = " ".join(said.err.split())
    assert "the training text lacks 'Ж' CYRILLIC CAPITAL LETTER ZHE (U+0416), '☃' SNOWMAN" in told
    run = Run(said.out.strip())
    assert [ord(one) in run.lm.vocabulary.symbols for one in "Ж☃"] == [True, True]
    assert figures(grucli, run.path, "--split=val")["characters"] == len(VAL) + 1
    skipping = grucli("train", *THREE, "--unknown=skip", "--steps=5", "-q", *TINY)
    assert "2 characters that the model does not know are left out" in skipping.err
    run = Run(skipping.out.strip())
    assert ord("Ж") not in run.lm.vocabulary.symbols
    assert figures(grucli, run.path, "--split=val")["characters"] == len(VAL) - 1
    trained_on(grucli, "--resume", run.path, "--steps=8")
    for file in (run.path / "checkpoints").iterdir():
        if file.name != "step-00000000.npz":  # as if it was killed before the next one
            file.unlink()
    trained_on(grucli, "--resume", run.path)
    assert ord("Ж") not in Run(run.path).lm.vocabulary.symbols
    refused = grucli("train", "train.txt", "--unknown=skip")
    assert "--unknown with files for --val or --test" in " ".join(refused.err.split())


def test_rare_characters_of_the_held_out_texts_are_unknown(grucli: Grucli) -> None:
    write("valid.txt", VAL + "Ж☃")
    run = Run(trained_on(grucli, *THREE, "--steps=5", "--set=data.min_count=3"))
    assert ord("Ж") not in run.lm.vocabulary.symbols
    assert run.lm.decode(run.split("val")[-2:]) == "\ufffd\ufffd"
    trained_on(grucli, "--resume", run.path, "--steps=8")
    write("train.txt", TRAIN + "Ω")
    skipping = trained_on(grucli, *THREE, "--steps=5", "--set=data.min_count=3", "--unknown=skip")
    assert len(Run(skipping).split("train")) == len(TRAIN) + 1  # with the rare one
    assert len(Run(skipping).split("val")) <= len(VAL)


def test_weights_of_another_run_decide_on_the_vocabulary(grucli: Grucli) -> None:
    first = trained_on(grucli, "train.txt", "--steps=2")
    write("valid.txt", VAL + "Ж")
    told = " ".join(grucli("train", *THREE, "--init-from", first, "--steps=2").err.split())
    assert "valid.txt: the model never saw the character 'Ж'" in told
    assert "--unknown skip leaves these out" in told
    for words, symbols in ((["--unknown=skip"], 0), (["--extend-vocabulary"], 1)):
        run = Run(trained_on(grucli, *THREE, "--init-from", first, "--steps=2", *words))
        assert len(run.lm.vocabulary) == len(library.load(first).vocabulary) + symbols
        assert len(run.split("val")) == len(VAL) + symbols


def test_the_library_takes_fractions_files_and_settings() -> None:
    run = small("train.txt", val=Path("valid.txt"), test=0.1)
    assert len(run.split("val")) == len(VAL)
    assert len(run.split("test")) == len(TRAIN) // 10
    run = small("train.txt", settings={"data.val": [Path("valid.txt"), "test.txt"]})
    assert run.lm.decode(run.split("val")) == VAL + TEST
    lines = "".join(f"{line}\n" for line in LIST.splitlines()[:30])
    run = small(lines=LIST.splitlines()[30:], val=write("lines.txt", lines))
    assert run.settings.data.documents == "line"
    assert run.lm.decode(run.split("val")) == lines
    run = small(text=TRAIN, val="valid.txt", settings={"data.level": "byte"})
    assert bytes(run.lm.vocabulary.symbols[run.split("val")].tolist()) == VAL.encode()
    assert run.info.corpus.paths == ["corpus.txt"]
    small(resume=run.path, steps=8, settings={})
    assert run.validation_losses()
    with pytest.raises(ArgumentError, match="val must be"):
        library.train("train.txt", val={"a": 1})  # type: ignore[arg-type]
    for value in (1.0, -0.1, True, "two words\nof a text", []):
        with pytest.raises(GrucliError):
            small("train.txt", val=value)


def test_directories_and_documents(grucli: Grucli) -> None:
    for name, part in (("train", TRAIN), ("valid", VAL)):
        Path(name).mkdir()
        for number, lo in enumerate(range(0, len(part), 150)):
            Path(name, f"{number:02}.txt").write_text(part[lo : lo + 150], encoding="utf-8")
    words = ("--set=data.documents=file", "--val=valid/", "--steps=3")
    run = Run(trained_on(grucli, "train", *words))
    assert run.lm.decode(run.split("val")).count("\x1e") == 4
    opened = grucli("train", "train", *words, "--dry-run", *TINY)
    assert f"val      {Path('valid').resolve()}" in opened.err


def test_a_sweep_has_three_files(grucli: Grucli) -> None:
    pytest.importorskip("optuna")
    settings: dict[str, Any] = {**SMALL, "data.val": "valid.txt", "train.steps": 4}
    settings |= {"optim.lr": {"choice": [0.01, 0.02]}, "sweep.trials": 2}
    summary = library.sweep("train.txt", settings=settings, name="s")
    runs = [Run(path) for path in sorted(Path("runs/s").glob("*")) if (path / "run.json").exists()]
    assert [len(run.split("val")) for run in runs] == [len(VAL)] * 2
    assert summary.best is not None
    write("valid.txt", VAL + VAL)
    settings["sweep.trials"] = 3
    with pytest.raises(GrucliError, match="the text is another one"):
        library.sweep("train.txt", settings=settings, name="s")


def test_several_ranks_read_three_files(grucli: Grucli) -> None:
    run = Run(trained_on(grucli, *THREE, "--steps=2"))
    here = _same_text(run.checkpoint.settings, run.text)
    assert here.text_id == run.checkpoint.text_id
    write("valid.txt", VAL + " ")
    with pytest.raises(CorpusError, match=r"valid\.txt: this is another text than on rank 0"):
        _same_text(run.checkpoint.settings, run.text)


BAD: Sequence[tuple[Sequence[str], str]] = [
    (["--val=none.txt"], "none.txt: there is no such file"),
    (["--val=empty.txt"], "empty.txt: the file is empty"),
    (["--test=short.txt"], "short.txt: too short, without a character to predict"),
    (["--val=data.bin"], "data.bin: this is binary data, not text"),
    (["--val=-"], "-: there is no such file"),
    (["--val="], "data.val: must be at least 0 and below 1, or a list of paths"),
    (["--val=train.txt"], "train.txt: is in the training text and in the validation text"),
    (["--val=valid.txt", "--test=valid.txt"], "in the validation text and in the test text"),
    (
        ["--val=link.txt", "--test=valid.txt"],
        "valid.txt: is in the validation text and in the test",
    ),
    (["folder", "--val=folder/inside.txt"], "inside.txt: is in the training text and in the valid"),
    (["--val=valid.txt", "--set=data.val=0.1"], "data.val is given by --set and by a flag; keep"),
    (["--set=data.val=2"], "must be at least 0 and below 1, or a list of paths, not 2"),
    (["--set=data.val=[1]"], "must be at least 0 and below 1, or a list of paths, not [1]"),
    (["--set=data.val=[]"], "must be at least 0 and below 1, or a list of paths, not []"),
]


@pytest.mark.parametrize(("words", "told"), BAD)
def test_bad_files_are_refused_with_one_message(
    grucli: Grucli, words: Sequence[str], told: str
) -> None:
    write("empty.txt", "")
    write("short.txt", "T")
    write("data.bin", bytes(range(256)) * 9)
    Path("folder").mkdir()
    write("folder/inside.txt", VAL)
    Path("link.txt").symlink_to("valid.txt")
    said = refusal(grucli, "train", "train.txt", *words)
    assert told in " ".join(said.split())
    assert said.count("error:") == 1


def test_runs_of_the_same_files_elsewhere_are_compared_and_exports_name_no_folder(
    grucli: Grucli,
) -> None:
    one = trained_on(grucli, *THREE, "--steps=2")
    for name in ("valid.txt", "test.txt"):
        shutil.copy(name, f"other-{name}")
    other = trained_on(
        grucli, "train.txt", "--val=other-valid.txt", "--test=other-test.txt", "--steps=2"
    )
    assert grucli("compare", "--runs", one, other).code == 0
    described = describe(Run(one).checkpoint)["meta"]["settings"]["data"]
    assert (described["val"], described["test"]) == (["valid.txt"], ["test.txt"])


def test_a_held_out_file_needs_a_name_in_utf8(grucli: Grucli) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    write(name, VAL)
    said = refusal(grucli, "train", "train.txt", "--val", name)
    assert r"data.val: ['caf\udce9.txt']: a name that is not UTF-8; rename the file" in said
    assert not Path("runs").exists()
