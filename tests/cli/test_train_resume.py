"""``grucli train --resume`` and ``--init-from``."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.data import corpus
from grucli.data.corpus import Corpus, read
from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from grucli.run.writer import NO_LINKS
from tests.cli.helpers import (
    LINK,
    LIST,
    last_checkpoint,
    posix,
    refusal,
    replaced_by_link,
    run_info,
    start,
    trained_on,
    wait_for,
    write,
)
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose

# ---- --resume


def test_resume_goes_on_from_the_last_checkpoint(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps", "12", "-q", *TINY).out.strip()
    result = grucli("train", "--resume", run, "--steps", "25")
    assert result.code == 0
    assert f"resume   {run} at step 12, best loss so far" in result.err
    assert result.out == f"{run}\n"
    assert json.loads(Path(run, "run.json").read_text(encoding="utf-8"))["step"] == 25


def test_standard_input_can_be_trained_on_and_resumed() -> None:
    text = prose(4000).encode()
    first = start("train", "-", "--steps=10", *TINY, stdin=subprocess.PIPE)
    out, err = first.communicate(text)
    run = out.decode().strip()
    assert first.returncode == 0
    assert f"grucli train - --resume {run}" in err.decode()
    without = start("train", "--resume", run, "--steps=12", stdin=subprocess.DEVNULL)
    _, err = without.communicate()
    assert without.returncode == 2
    assert b"give the same text again" in err
    again = start("train", "-", "--resume", run, "--steps=12", "-q", stdin=subprocess.PIPE)
    out, _ = again.communicate(text)
    assert out.decode().strip() == run


def test_a_stopped_run_of_a_list_ends_as_the_uninterrupted_one(grucli: Grucli) -> None:
    write("list.txt", LIST)
    settings = ["--set=data.documents=line", "--set=optim.schedule=constant"]
    half = trained_on(grucli, "list.txt", *settings, "--steps=10")
    whole = trained_on(grucli, "list.txt", *settings, "--steps=20")
    assert grucli("train", "--resume", half, "--steps=20", "-q").code == 0
    left, right = last_checkpoint(half), last_checkpoint(whole)
    assert left.progress.step == right.progress.step == 20
    assert left.model.separator is not None
    np.testing.assert_array_equal(left.model.params.flat, right.model.params.flat)
    np.testing.assert_array_equal(left.state, right.state)


def test_resume_with_a_changed_architecture_names_the_keys(grucli: Grucli, trained: Path) -> None:
    before = snapshot(trained)
    message = refusal(
        grucli, "train", "--resume", trained, "--set=model.hidden=8", "--set=optim.clip=9",
        "--set=train.log_every=9", "--steps=60",
    )  # fmt: skip
    assert "model.hidden: the run was started with 12; it cannot become 8" in message
    assert "optim.clip: the run was started with 1.0; it cannot become 9.0" in message
    assert "log_every" not in message
    assert snapshot(trained) == before


def test_resume_with_another_corpus(grucli: Grucli, trained: Path) -> None:
    write("other.txt", prose(4000, seed=3))
    message = refusal(grucli, "train", "other.txt", "--resume", trained, "--steps", "60")
    assert f"other.txt: this is not the text of {trained}; a resumed run keeps its text" in message
    assert "--init-from" in message
    write("other.txt", prose(4000) + "Ω")
    message = refusal(grucli, "train", "other.txt", "--resume", trained, "--steps", "60")
    assert "other.txt: the model never saw the character 'Ω'" in message
    assert f"; this is not the text of {trained}; a resumed run keeps its text" in message


@pytest.mark.usefixtures("bad_files")
def test_resume_of_a_run_whose_budget_is_used_up(grucli: Grucli, trained: Path) -> None:
    message = refusal(grucli, "train", "--resume", trained)
    assert "has used its budget: 30 of 30 steps; --steps counts from the start" in message
    assert "such as --steps 60" in message
    run = grucli("train", "text.txt", "--minutes=0.01", "-q", *TINY).out.strip()
    again = grucli("train", "--resume", run, "--minutes", "0.001")
    assert again.code == 2
    assert "of 0.001 minutes; --minutes counts from the start of the run" in again.err


def test_resuming_a_finished_run_in_minutes_leaves_it_usable(
    grucli: Grucli, text_file: Path
) -> None:
    run = grucli("train", text_file, "--minutes", "0.02", "-q", *TINY).out.strip()
    grucli("train", "--resume", run)  # a moment may be left, or not
    assert grucli("sample", run, "-n", "5").code == 0


def last_step(run: str) -> int:
    saved = Run(run).checkpoints.pointer("last")
    assert saved is not None
    return saved.step


def test_minutes_of_a_short_text_end_after_some_epochs(grucli: Grucli, text_file: Path) -> None:
    limited = ("--minutes=5", "--set=train.most_epochs=2")
    result = grucli("train", text_file, *limited, *TINY)
    run = result.out.strip()
    steps = last_step(run)
    assert f"5 min 0 s, or {steps} steps of" in result.err
    assert "= 2 epochs if that is less" in " ".join(result.err.split())
    assert "The run ended after 2 epochs, before its time was over" in result.err
    again = grucli("train", "--resume", run)
    assert again.code == 2
    advice = "2 of 2 epochs; train.most_epochs (null: no limit) ends it before its time: give more"
    assert advice in again.err
    assert "such as --epochs 4" in again.err
    assert advice in grucli("train", "--resume", run, "--minutes=10").err
    assert grucli("train", "--resume", run, "--epochs=3", "-q").code == 0
    assert last_step(run) == 3 * steps // 2


def test_patience_is_named_at_the_end_and_on_resume(grucli: Grucli, text_file: Path) -> None:
    result = grucli(
        "train", text_file, "--steps=500", *TINY, "--set=train.patience=1", "--set=optim.lr=1",
        "--set=optim.schedule=constant",
    )  # fmt: skip
    run = result.out.strip()
    assert "Stopped early: no better loss in 1 evaluation (train.patience;" in result.err
    assert "--resume" not in result.err  # longer training does not help
    short = grucli(
        "train", text_file, "--steps=40", *TINY, "--set=train.patience=2", "--set=optim.lr=1e-30"
    )
    assert "Stopped early" in short.err
    assert "--resume" not in short.err  # it would be refused
    before = snapshot(Path(run))
    again = grucli("train", "--resume", run)
    assert again.code == 2
    assert "did not improve in 1 evaluations (train.patience)" in again.err
    assert snapshot(Path(run)) == before


def test_resume_takes_run_directories_alone(grucli: Grucli, trained: Path) -> None:
    before = snapshot(trained)
    checkpoint = max((trained / "checkpoints").glob("*.npz"))
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


def test_a_run_that_goes_on_elsewhere_is_told_what_has_changed(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    told = run_info(run)
    assert "in the last bits" not in grucli("train", "--resume", run, "--steps=12").err
    told["versions"]["numpy"] = "1.99.0"  # type: ignore[index]
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")
    result = grucli("train", "--resume", run, "--steps=14")
    assert result.code == 0
    assert "numpy was 1.99.0 and is" in result.err


# ---- a text that is elsewhere or has changed


def test_a_moved_corpus_is_remembered(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.rename("moved.txt")
    gone = grucli("train", "--resume", run, "--steps=12")
    assert gone.code == 2
    assert f"{text_file}: the text of the run is not there; copy it into" in gone.err
    assert f"or name it where it lies: grucli train FILE --resume {run}\n" in gone.err
    assert "nothing.txt: there is no" in grucli("train", "nothing.txt", "--resume", run).err
    assert grucli("train", "moved.txt", "--resume", run, "--steps=12", "-q").code == 0
    assert grucli("train", "--resume", run, "--steps=14", "-q").code == 0


def test_a_text_that_came_with_its_run_is_found_by_its_name(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("old/texts").mkdir(parents=True)
    write("old/texts/text.txt", prose(4000))
    monkeypatch.chdir("old")
    run = trained_on(grucli, "texts/text.txt", "--steps=10")
    monkeypatch.chdir("..")
    Path("old").rename("new")
    monkeypatch.chdir("new")
    assert "is not there" not in grucli("eval", run, "--split", "val").err
    info = run_info(run)
    info["corpus"]["paths"] = [r"C:\Users\me\texts\text.txt"]  # type: ignore[index]
    (run / "run.json").write_text(json.dumps(info), encoding="utf-8")
    assert grucli("train", "--resume", run, "--steps=12", "-q").code == 0
    assert run_info(run)["corpus"]["paths"] == [str(Path("texts/text.txt").resolve())]  # type: ignore[index]
    Path("texts/text.txt").rename("text.txt")
    assert grucli("train", "--resume", run, "--steps=14", "-q").code == 0
    write("elsewhere.txt", Path("text.txt").read_text("utf-8"))
    write("text.txt", prose(4000, seed=5))
    changed = grucli("train", "--resume", run, "--steps=16")
    assert changed.code == 2
    assert "the corpus has changed since the run began" in changed.err
    assert grucli("train", "elsewhere.txt", "--resume", run, "--steps=16", "-q").code == 0


@posix
def test_a_corpus_that_has_become_a_pipe_is_not_waited_for(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.unlink()
    os.mkfifo(text_file)
    result = grucli("train", "--resume", run, "--steps=12")
    assert result.code == 2
    assert "is a pipe or a device; give the corpus again" in " ".join(result.err.split())


def test_what_was_read_is_compared_on_resume(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("text.txt", prose(4000) + "\u2603")
    run = trained_on(grucli, "text.txt", "--steps=2", "--set=data.min_count=2")
    assert "loss" in grucli("train", "--resume", run, "--steps=4").err

    def read_less(*given: Any) -> Corpus:
        text = read(*given)
        return replace(text, text_id=replace(text.text_id, chars=text.text_id.chars - 1))

    monkeypatch.setattr(corpus, "read", read_less)
    refused = grucli("train", "--resume", run, "--steps=6")
    assert refused.code == 2
    assert "the corpus has changed since the run began" in refused.err


# ---- damaged and strange runs


def test_a_run_that_was_killed_while_it_was_made_cannot_go_on(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    (run / "run.json").unlink()
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for text in ([], [text_file]):
        result = grucli("train", *text, "--resume", run)
        assert result.code == 2
        told = f"{run}: holds no checkpoint to continue from; start a new run"
        assert told in " ".join(result.err.split())


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
        with np.load(last) as members:
            array = max((members[name].tobytes() for name in members.files), key=len)
        middle = content.index(array) + len(array) // 2  # a field of a zip file may have no use
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
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


def test_resume_mends_a_damaged_run_directory(grucli: Grucli, text_file: Path) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    (run / "metrics.csv").unlink()
    (run / "checkpoints" / ".step-00000020.npz.tmp-1-0123abcd").touch()
    (run / "samples" / ".step-00000020.txt.tmp-1-0123abcd").touch()
    (run / ".report.html.tmp-1-0123abcd").touch()
    (run / "samples" / "step-mine.txt").touch()
    assert grucli("train", "--resume", run, "--steps=20", "-q").code == 0
    assert not list(run.rglob(".*"))
    assert (run / "metrics.csv").is_file()
    (run / "run.json").write_text("{}", encoding="utf-8")
    for command in (["train", "--resume", run, "--steps=30"], ["gradcheck", run]):
        result = grucli(*command)
        assert result.code == 2
        assert "does not name the corpus" in result.err
    assert "does not name the corpus; name a text" in result.err
    (run / "checkpoints" / "best.json").write_text('{"file": 5}', encoding="utf-8")
    assert "best.json: damaged" in grucli("sample", run).err


def test_resume_mends_a_run_that_is_done(grucli: Grucli, text_file: Path) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    best = run / "checkpoints" / "best.json"
    before = grucli("sample", run, "--seed=1").out
    best.write_text('{"file": 5}', encoding="utf-8")
    told = grucli("train", "--resume", run)
    assert told.code == 2
    assert f"{best}: was damaged; it names step-" in told.err
    assert "the run has used its budget" in told.err
    assert grucli("sample", run, "--seed=1").out == before
    assert "was damaged" not in grucli("train", "--resume", run).err


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
    assert (run_info(run)["status"], run_info(run)["step"]) == ("done", 20)
    assert str(run_info(run)["model"]).startswith("GRU 1x")


@pytest.mark.parametrize("elapsed", ["null", '"abc"', "[]", "{}"])
def test_a_run_whose_time_used_is_damaged_goes_on(
    grucli: Grucli, text_file: Path, elapsed: str
) -> None:
    run = Path(grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip())
    text = (run / "run.json").read_text(encoding="utf-8")
    text = re.sub(r'"elapsed_s": [^,\n}]+', f'"mine": 1, "elapsed_s": {elapsed}', text)
    (run / "run.json").write_text(text, encoding="utf-8")
    assert grucli("train", "--resume", run, "--steps=12", "-q").code == 0
    assert run_info(run)["mine"] == 1


@posix
@pytest.mark.parametrize("name", sorted(NO_LINKS - {"best.json", "last.json"}))
def test_a_run_with_links_is_not_resumed(grucli: Grucli, run: Path, mine: Path, name: str) -> None:
    is_directory = name in ("samples", "checkpoints")
    replaced_by_link(run / name, mine if is_directory else mine / "step-00000999.txt")
    before = snapshot(mine)
    result = grucli("train", "--resume", run, "--steps=40", "-q")
    assert result.code == 2
    assert f"{run / name}: cannot be used: {LINK}" in " ".join(result.err.split())
    assert snapshot(mine) == before
    assert (run / name).is_symlink()


@posix
def test_the_user_may_name_a_run_by_a_link(grucli: Grucli, run: Path, text_file: Path) -> None:
    Path("latest").symlink_to(run)
    done = grucli("train", text_file, "--resume", "latest", "--steps=32", "-q")
    assert done.code == 0, done.err
    assert grucli("report", "latest").code == 0


# ---- --init-from


def test_init_from_starts_a_new_run_from_old_weights(
    grucli: Grucli, trained: Path, text_file: Path
) -> None:
    result = grucli("train", text_file, "--init-from", trained, "--steps=1", "-q", *TINY[1:])
    assert result.code == 0
    assert "hidden: 12" in Path(result.out.strip(), "config.yaml").read_text(encoding="utf-8")
    text_file.write_text(prose(2000) + prose(500, seed=5), encoding="utf-8")
    fresh = grucli("train", text_file, "--init-from", trained, "--steps=1", "-q", *TINY[1:])
    assert fresh.code == 0


def test_init_from_with_new_characters_lists_them(grucli: Grucli, trained: Path) -> None:
    write("new.txt", prose(3000) + "Ω")
    message = refusal(grucli, "train", "new.txt", "--init-from", trained)
    assert "'Ω' GREEK CAPITAL LETTER OMEGA (U+03A9)" in message
    assert "keeps the vocabulary" in message


@pytest.mark.usefixtures("bad_files")
def test_init_from_with_another_architecture(grucli: Grucli, trained: Path) -> None:
    message = refusal(grucli, "train", "text.txt", "--init-from", trained, "--set=model.layers=2")
    assert "model.layers:" in message
    assert "was trained with 1; it cannot become 2" in message


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
    assert last_checkpoint(skipping).text_id.skipped == 60
    assert grucli("train", "--resume", skipping, "--steps=4", "-q").code == 0
    assert grucli("eval", skipping, "--split", "val").code == 0

    result = grucli(
        "train", "new.txt", "--init-from", trained, "--extend-vocabulary", "--steps=1", *small,
        "--set=optim.lr=1e-9",
    )  # fmt: skip
    assert "2 characters are new" in result.err
    extended, old = (
        last_checkpoint(Path(result.out.strip())),
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
