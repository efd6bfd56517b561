import json
import os
import threading
from pathlib import Path

import pytest

from grucli.config import read_file, resolve
from tests.cli.helpers import LINK, posix, replaced_by_link, start
from tests.conftest import Grucli, snapshot
from tests.sweeps.helpers import claim, train, worker, write_file


@pytest.fixture
def study(text_file: Path) -> Path:
    windows = {"train.window": {"choice": [8, 60_000]}, "sweep.sampler": "grid"}
    train(text_file, {**windows, "optim.lr": {"choice": [0.01, 0.02, 0.03]}, "sweep.trials": 9})
    return Path("runs/s")


def test_a_sweep_of_four_trials(text_file: Path, grucli: Grucli) -> None:
    told = grucli("sweep", write_file({}), text_file)
    assert (told.code, told.out) == (0, "runs/s\n")
    for line in ("trial 3 of 4: optim.lr ", "trial 3: done, ", "best of 4 trials: ", "settings "):
        assert line in told.err
    assert "grucli sweep --show runs/s\n" in told.err
    assert "What mattered" not in told.err  # there is one range
    info = json.loads(Path("runs/s/trial-0000/run.json").read_text())
    assert info["commands"] == [f"grucli sweep s.yaml {text_file}"]
    assert Path("runs/s/report.html").exists()
    again = grucli("train", text_file, "--config", "runs/s/best.yaml", "--steps=5", "--quiet")
    assert again.code == 0


def test_the_table(study: Path, grucli: Grucli) -> None:
    told = grucli("sweep", "--show", study)
    lines = told.out.splitlines()
    assert lines[0].split() == ["trial", "status", "loss", "step", "train.window", "optim.lr"]
    assert [line.split()[1] for line in lines[1:7]] == ["done"] * 3 + ["impossible"] * 3
    losses = [float(line.split()[2]) for line in lines[1:4]]
    assert losses == sorted(losses)
    assert "the text is too short for train.batch x train.window = 4 x 60000" in lines[7]
    _, best, *written = told.err.splitlines()
    assert best.startswith(
        f"best of 6 trials: {lines[1].split()[0]}, {losses[0]:.4f} nats per char"
    )
    assert written == [f"settings {study}/best.yaml", f"report   {study}/report.html"]
    assert grucli("sweep", "--show", "s").out == told.out


def test_the_table_as_json(study: Path, grucli: Grucli) -> None:
    shown = json.loads(grucli("sweep", "--show", study, "--json").out)
    assert shown["study"] == str(study)
    assert shown["best"] == shown["trials"][0]["number"]
    assert shown["trials"][-1]["status"] == "impossible"
    assert shown["trials"][0]["values"] == {"train.window": 8, "optim.lr": pytest.approx(0.02, 1)}


def test_the_best_settings_and_the_report(study: Path, grucli: Grucli) -> None:
    grucli("sweep", "--show", study)
    best = json.loads(grucli("sweep", "--show", study, "--json").out)["trials"][0]
    settings = resolve([("best", read_file(study / "best.yaml"))])
    assert settings.optim.lr == best["values"]["optim.lr"]
    assert settings.model.hidden == 8
    page = (study / "report.html").read_text()
    assert "<title>3 runs</title>" in page
    assert best["run"] in page


def test_trouble_with_the_report_ends_no_sweep(
    text_file: Path, grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.run.report.svg", lambda *_, **__: 1 / 0)
    told = grucli("sweep", write_file({"sweep.trials": 1}), text_file)
    assert (told.code, told.out) == (0, "runs/s\n")
    assert "the report are not written: ZeroDivisionError" in told.err
    assert "next\n" in told.err


def test_a_study_can_be_moved(study: Path, grucli: Grucli) -> None:
    before = grucli("sweep", "--show", study).out
    moved = study.rename("elsewhere")
    assert grucli("sweep", "--show", moved).out == before


def test_what_mattered(text_file: Path, grucli: Grucli) -> None:
    ranges = {"model.hidden": {"range": [4, 12]}, "sweep.pruner": "none", "train.steps": 3}
    few = train(text_file, {**ranges, "sweep.trials": 2})
    assert not few.importances
    assert few.what_mattered == (
        "Which settings mattered most can be told from 20 complete trials on; there are 2."
    )
    summary = train(text_file, {**ranges, "sweep.trials": 20})
    shares = list(summary.importances.values())
    assert set(summary.importances) == {"model.hidden", "optim.lr"}
    assert sum(shares) == pytest.approx(1)
    said = grucli("sweep", "--show", "s").out.splitlines()[-1]
    first = next(iter(summary.importances))
    assert said.startswith(f"What mattered: {first} {max(shares):.0%}, ")
    assert "the best tenth of the 20 complete trials apart (PED-ANOVA)" in said
    assert said.endswith("With fewer than 50 trials, this is a hint.")
    assert f'<p class="said">{said}</p>' in Path("runs/s/report.html").read_text("utf-8")


def test_two_workers_on_one_machine_are_warned(text_file: Path, grucli: Grucli) -> None:
    settings = {"train.workers": "auto", "sweep.trials": 2}
    path, one = write_file(settings), worker(text_file, settings)
    taken = claim(one)
    assert taken is not None
    taken.begin(None)
    other = threading.Timer(3, taken.close)  # the command would wait for it
    other.start()
    told = grucli("sweep", path, text_file)
    assert "note: another worker trains on this machine" in told.err
    other.join()
    assert told.code == 0
    assert "another worker" not in grucli("sweep", path, text_file).err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "name a sweep file and a text: grucli sweep SWEEP.yaml FILE"),
        (("s.yaml",), "name a text to train on: grucli sweep SWEEP.yaml FILE"),
        (("s.yaml", "-"), "-: each trial reads the text; name a file"),
        (("s.yaml", "none.txt"), "none.txt: "),
        (("none.yaml", "TEXT"), "none.yaml: cannot read the settings file"),
        (("s.yaml", "TEXT", "--name=a/b"), "name 'a/b': must be the name of a directory"),
        (("s.yaml", "TEXT", "--json"), "--json is for --show"),
        (("s.yaml", "--show", "s"), "--show shows a study; leave out the file"),
        (("--show", "none"), "runs/none: holds no study.journal"),
        (("s.yaml", "TEXT", "--runs-dir", "s.yaml"), "s.yaml/s: cannot be made"),
    ],
)
def test_misuse(words: tuple[str, ...], expected: str, text_file: Path, grucli: Grucli) -> None:
    write_file({})
    before = snapshot(Path())
    told = grucli("sweep", *(str(text_file) if one == "TEXT" else one for one in words))
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {expected}")
    assert snapshot(Path()) == before


FILES = ("study.lock", "study.journal", "journal.lock", "folder")


@posix
@pytest.mark.parametrize("name", [*FILES, "claims", "claims/trial-0000", "trial-0000"])
def test_links_in_a_study_are_refused(
    grucli: Grucli, text_file: Path, mine: Path, name: str
) -> None:
    train(text_file, {"sweep.trials": 1})
    path = Path("runs/s", name)
    replaced_by_link(path, mine if path.is_dir() else mine / "step-00000999.txt")
    before = snapshot(mine)
    for asked in ([write_file({"sweep.trials": 2}), text_file], ["--show", "runs/s"]):
        result = grucli("sweep", *asked)
        assert result.code == 2
        assert f"{path}: {LINK}" in " ".join(result.err.split())
    assert snapshot(mine) == before


@posix
@pytest.mark.parametrize("name", FILES)
def test_pipes_in_a_study_are_refused(text_file: Path, name: str) -> None:
    train(text_file, {"sweep.trials": 1})
    path = Path("runs/s", name)
    path.unlink()
    os.mkfifo(path)
    for asked in ([write_file({"sweep.trials": 2}), text_file], ["--show", "runs/s"]):
        process = start("sweep", *asked)
        told = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 2, told
        assert f"{path}: a pipe, a device or a directory stands where" in " ".join(told.split())


def test_a_study_without_trials(text_file: Path, grucli: Grucli) -> None:
    worker(text_file, {})
    told = grucli("sweep", "--show", "s")
    assert (told.code, told.out) == (0, "there are no trials yet\n")
    assert "no trial is done" in told.err
