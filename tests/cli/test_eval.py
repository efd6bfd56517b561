"""``grucli eval``."""

import json
import math
from pathlib import Path

import pytest

import grucli as library
from grucli.data.corpus import read
from grucli.run.run import Run
from tests.cli.helpers import LIST, last_checkpoint, refusal, trained_on, write
from tests.conftest import TINY, Grucli
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
    val = checkpoint.splits(read(["list.txt"], checkpoint.settings.data).ids).val
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
