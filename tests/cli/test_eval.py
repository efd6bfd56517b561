"""``grucli eval``."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.data.corpus import read
from grucli.run.run import Run
from tests.cli.helpers import LIST, last_checkpoint, refusal, trained_on, write
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose


def test_eval_shows_each_file_and_the_total(grucli: Grucli, trained: Path) -> None:
    for number, length in enumerate((500, 3000)):
        Path(f"{number}.txt").write_text(prose(length, seed=7), encoding="utf-8")
    table = grucli("eval", trained, "0.txt", "1.txt").out.splitlines()
    assert table[0].split() == [
        "file", "characters", "nats/char", "bits/char", "perplexity", "accuracy",
    ]  # fmt: skip
    assert [line.split()[:2] for line in table[1:]] == [
        ["0.txt", "499"],
        ["1.txt", "2,999"],
        ["total", "3,498"],
    ]
    answer = json.loads(grucli("eval", trained, "0.txt", "1.txt", "--json").out)
    first, second = answer["files"]
    nats = first["nats_per_char"] * 499 + second["nats_per_char"] * 2999
    assert answer["total"]["nats_per_char"] == pytest.approx(nats / 3498)
    assert second["bits_per_char"] == pytest.approx(second["nats_per_char"] / 0.6931471805599453)


def test_eval_agrees_with_training(grucli: Grucli, trained: Path) -> None:
    text = prose(4000)
    Path("val.txt").write_text(text[3600:], encoding="utf-8")
    best = json.loads((trained / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    answer = json.loads(grucli("eval", trained, "val.txt", "--json").out)
    assert answer["total"]["nats_per_char"] == pytest.approx(best["loss"], rel=1e-5)


def test_eval_of_a_part_of_the_runs_own_corpus(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY, "--set=data.test=0.2").out.strip()
    best = json.loads(Path(run, "checkpoints", "best.json").read_text(encoding="utf-8"))
    val = json.loads(grucli("eval", run, "--split", "val", "--json").out)
    assert val["total"]["nats_per_char"] == pytest.approx(best["loss"], rel=1e-5)
    test = json.loads(grucli("eval", run, "--split", "test", "--json").out)
    assert test["total"]["characters"] == 799
    for args in (["--split", "dev"], [], [text_file, "--split", "val"]):
        assert grucli("eval", run, *args).code == 2


def test_eval_can_skip_unknown_characters(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text("thé éthe", encoding="utf-8")
    result = grucli("eval", trained, "odd.txt", "--unknown", "skip")
    assert [line.split()[-1] for line in result.out.splitlines()] == ["skipped", "2"]
    assert "odd.txt: 2 characters that the model does not know are left out" in result.err
    skipped = grucli("eval", trained, "odd.txt", "--unknown", "skip", "--json")
    floor = grucli("eval", trained, "odd.txt", "--unknown", "floor", "--json")
    assert "2 characters that the model does not know count as half an occurrence" in floor.err
    skipped, floor = (json.loads(result.out)["total"] for result in (skipped, floor))
    assert (skipped["characters"], skipped["skipped"]) == (5, 2)
    assert (floor["characters"], floor["skipped"]) == (7, 0)
    charged = floor["nats_per_char"] * 7 - skipped["nats_per_char"] * 5
    assert charged == pytest.approx(2 * math.log(library.load(trained).counts.sum() / 0.5))


def test_eval_counts_each_file_named_and_tells_what_it_skips(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text("the ΩΩ river", encoding="utf-8")
    result = grucli("eval", trained, "odd.txt", "odd.txt", "--unknown=skip")
    assert len(result.out.splitlines()) == 4
    assert "odd.txt: 2 characters that the model does not know are left out" in result.err
    assert "named twice" in grucli("eval", trained, "-", "-").err


def test_the_first_character_of_a_lists_validation_text_is_predicted(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=10")
    checkpoint = last_checkpoint(run)
    val = checkpoint.splits(read(["list.txt"], checkpoint.settings.data)).val
    Path("val.txt").write_bytes(checkpoint.vocabulary.decode(val))
    of_split = json.loads(grucli("eval", run, "--split=val", "--json").out)["total"]
    of_file = json.loads(grucli("eval", run, "val.txt", "--json").out)["total"]
    assert of_split == of_file
    assert of_split["characters"] == len(val)
    in_training = Run(run).info.best.loss
    assert in_training == pytest.approx(of_split["nats_per_char"], rel=1e-6)


def test_the_first_character_of_a_list_is_predicted(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=2")
    write("one.txt", "night\n")
    total = json.loads(grucli("eval", run, "one.txt", "--json").out)["total"]
    assert total["characters"] == 6


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


@pytest.mark.usefixtures("bad_files")
def test_bad_input(grucli: Grucli, trained: Path) -> None:
    write("odd.txt", "the Quiet é")
    write("single.txt", "a")
    assert "odd.txt: the model never saw the character" in refusal(
        grucli, "eval", trained, "odd.txt"
    )
    assert "single.txt: the model knows 1 of its characters" in refusal(
        grucli, "eval", trained, "single.txt"
    )
    assert "nothing.txt: there is no such file" in refusal(grucli, "eval", trained, "nothing.txt")
    assert "is not utf-8" in refusal(grucli, "eval", trained, "cp1252.txt")
    assert "is not one of" in refusal(grucli, "eval", trained, "odd.txt", "--unknown", "x")
    assert "--context" in refusal(grucli, "eval", trained, "odd.txt", "--context", 0)
    encoding = ("--split=val", "--set=data.encoding=cp1252")
    assert "--split has the encoding of the run" in refusal(grucli, "eval", trained, *encoding)
    for asked in (["text.txt"], ["text.txt", "text.txt", "--adapt"]):
        said = refusal(grucli, "eval", trained, *asked, "--save-adapted", "new")
        assert "--save-adapted needs --adapt, and one text" in said


# ---- other kinds of figures


def test_figures_of_another_kind_stand_beside_the_others(grucli: Grucli, trained: Path) -> None:
    for number, length in enumerate((200, 300)):
        Path(f"{number}.txt").write_text(prose(length, seed=7), encoding="utf-8")
    asked = ("eval", trained, "0.txt", "1.txt", "--context", 16, "--adapt")
    result = grucli(*asked)
    names = [line.split("  ")[0] for line in result.out.splitlines()]
    assert names == ["file"] + [
        f"{name}{kind}"
        for name in ("0.txt", "1.txt", "total")
        for kind in ("", ", context 16", ", adapted")
    ]
    assert "of the validation text)" in result.err
    plain = json.loads(grucli(*asked[:4], "--json").out)
    answer = json.loads(grucli(*asked, "--json").out)
    for record, static in zip(
        [*answer["files"], answer["total"]], [*plain["files"], plain["total"]], strict=True
    ):
        context, adapted = record.pop("context"), record.pop("adapted")
        assert record == static
        assert context["length"] == 16
        assert context["characters"] == adapted["characters"] == static["characters"]
        assert context["nats_per_char"] != static["nats_per_char"] != adapted["nats_per_char"]
    lm = library.load(trained)
    rates = {name: adapted[name] for name in ("rate", "decay")}
    parts = [lm.adapt(Path(f"{number}.txt").read_text("utf-8"), **rates).score for number in (0, 1)]
    assert adapted["nats_per_char"] == pytest.approx(sum(part.nats for part in parts) / 498)


def test_the_rate_is_not_chosen_on_what_is_judged(grucli: Grucli, run: Path) -> None:
    judged = json.loads(grucli("eval", run, "--split", "val", "--adapt", "--json").out)["total"]
    assert "of the training text" in judged["adapted"]["chosen_on"]
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    Path("gone").write_text(json.dumps(info), encoding="utf-8")
    info["corpus"]["paths"] = ["gone"]
    (run / "run.json").write_text(json.dumps(info), encoding="utf-8")
    Path("new.txt").write_text(prose(100, seed=7), encoding="utf-8")
    result = grucli("eval", run, "new.txt", "--adapt", "--json")
    assert "defaults: there is no text" in result.err
    assert json.loads(result.out)["total"]["adapted"]["chosen_on"] is None


def test_unknown_characters_count_in_both_figures(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text("thé éthe", encoding="utf-8")
    for how, characters in (("skip", 5), ("floor", 7)):
        asked = ("eval", trained, "odd.txt", f"--unknown={how}", "--adapt", "--context=3", "--json")
        total = json.loads(grucli(*asked).out)["total"]
        kinds = total, total["adapted"], total["context"]
        assert {kind["characters"] for kind in kinds} == {characters}
        assert len({kind["skipped"] for kind in kinds}) == 1
    write("new.txt", "é")
    total = json.loads(
        grucli("eval", trained, "new.txt", "--unknown=floor", "--adapt", "--json").out
    )["total"]
    assert total["nats_per_char"] == total["adapted"]["nats_per_char"]


def test_adapted_weights_are_a_run_that_cannot_be_resumed(grucli: Grucli, trained: Path) -> None:
    before = snapshot(trained)
    write("new.txt", prose(3000, seed=9))
    Path("my runs").mkdir()
    asked = ("eval", trained, "new.txt", "--adapt", "--save-adapted", "my runs/new one", "--json")
    adapted = json.loads(grucli(*asked).out)["total"]["adapted"]
    assert snapshot(trained) == before
    path = Path("my runs/new one")
    for place in ("nowhere/new", "new.txt/new"):
        assert "can be written to" in refusal(grucli, *asked[:5], place)
    assert [one.name for one in path.parent.iterdir()] == ["new one"]
    assert "exists already" in refusal(grucli, *asked)
    info = json.loads((path / "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "adapted"
    assert info["adapted"]["rate"] == adapted["rate"]
    assert info["adapted"]["loss"] == adapted["nats_per_char"]
    result = library.load(trained).adapt(
        Path("new.txt").read_text("utf-8"), rate=adapted["rate"], decay=adapted["decay"]
    )
    weights = library.load(path).model.params.flat
    np.testing.assert_array_equal(weights, result.lm.model.params.flat)
    assert grucli("sample", path, "-n", 20).code == 0
    evaluated = grucli("eval", path, "new.txt", "--json")
    assert "its weights were adapted to the text" in evaluated.err
    assert json.loads(evaluated.out)["total"]["nats_per_char"] < result.static.loss
    assert grucli("runs", "my runs").out.splitlines()[1].split()[2] == "adapted"
    assert "no training to continue" in refusal(grucli, "train", "--resume", path)
    started = grucli("train", "new.txt", "--init-from", path, "--steps=1", "-q", *TINY[1:])
    assert started.code == 0, started.err


@pytest.mark.parametrize("documents", ["line", "null"])
@pytest.mark.parametrize("level", ["char", "byte"])
def test_lists_and_bytes_adapt(grucli: Grucli, documents: str, level: str) -> None:
    write("list.txt", LIST)
    kind = [f"--set=data.documents={documents}", f"--set=data.level={level}"]
    run = trained_on(grucli, "list.txt", *kind, "--steps=2", "--set=model.cell=lstm")
    write("more.txt", LIST[:500])
    total = json.loads(grucli("eval", run, "more.txt", "--adapt", "--context=99", "--json").out)
    total, noun = total["total"], f"{level}s" if level == "byte" else "characters"
    assert total["adapted"][noun] == total["context"][noun] == total[noun]
    unit = f"nats_per_{level}"
    assert total["adapted"][unit] < total[unit]
    if documents == "line":  # no line is so long
        assert total["context"][unit] == pytest.approx(total[unit], rel=1e-5)
