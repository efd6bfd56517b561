"""``grucli compare``."""

import json
import signal
from pathlib import Path

import pytest

from grucli.analysis import comparison
from grucli.cli.compare import _seeds
from tests.cli.helpers import posix, refusal, start, trained_on, wait_for, write
from tests.conftest import TINY, Grucli
from tests.texts import prose


def test_cells_are_compared_and_the_runs_compared_again(grucli: Grucli, text_file: Path) -> None:
    result = grucli("compare", text_file, "--cells", "gru,lstm", "--steps", 6, *TINY)
    assert result.code == 0, result.err
    assert "a GRU has fewer parameters than an LSTM of its width: held" in result.out
    runs = sorted(Path("runs").iterdir())
    assert len(runs) == 2
    again = grucli("compare", "--runs", *runs)
    assert again.out == result.out
    (short,) = (one for one in ("gru-0", "lstm-0") if runs[0].name.endswith(f"-{one}"))
    rows = json.loads(grucli("compare", "--runs", runs[0], short, "--json").out)["runs"]
    assert len(rows) == 1  # a run that is named twice
    assert rows[0]["gap"] == pytest.approx(rows[0]["val"] - rows[0]["train"])
    assert (rows[0]["settings"]["model.hidden"], rows[0]["steps"]) == (12, 6)


def test_runs_of_different_settings_are_not_averaged(grucli: Grucli, text_file: Path) -> None:
    for lr, seed in ((0.001, 0), (0.01, 0), (0.01, 1)):
        asked = ("--steps", 6, "--seed", seed, "--set", f"optim.lr={lr}", *TINY)
        assert grucli("train", text_file, *asked).code == 0
    header, *lines, told = grucli(
        "compare", "--runs", *sorted(Path("runs").iterdir())
    ).out.splitlines()
    assert header.split()[:4] == ["model", "seeds", "steps", "params"]
    assert sorted(line.split("  ")[0] for line in lines) == [
        "GRU 1 x 12, lr 0.001",
        "GRU 1 x 12, lr 0.01",
    ]
    assert sum("\N{PLUS-MINUS SIGN}" in line for line in lines) == 1
    assert told == "\N{PLUS-MINUS SIGN}: the sample standard deviation over the seeds"


def test_runs_of_unequal_work_are_noted(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "UNEQUAL", 0.5)  # a run is unequal to itself
    for budget, noted in (("--minutes=0.005", True), ("--steps=2", False)):
        said = grucli("compare", text_file, "--cells=gru", budget, *TINY).err
        assert ("--steps gives equal work" in said) is noted


def test_cells_of_equally_many_parameters(grucli: Grucli, text_file: Path) -> None:
    asked = ("--match", "params", "--cells", "gru,rnn", "--steps", 2, "--seeds", 2, "--json")
    rows = json.loads(grucli("compare", text_file, *asked, *TINY).out)["runs"]
    assert [(row["cell"], row["seed"]) for row in rows] == [
        ("gru", 0), ("rnn", 0), ("gru", 1), ("rnn", 1),
    ]  # fmt: skip
    gru, rnn = rows[0], rows[1]
    assert rnn["hidden"] > gru["hidden"] == 12
    assert rnn["parameters"] == pytest.approx(gru["parameters"], rel=0.1)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["compare"], "name a text to train on, or --runs"),
        (["compare", "text.txt", "--cells", "gru,x"], "there is no cell 'x'"),
        (["compare", "text.txt", "--runs", "{run}"], "text.txt: not a run directory"),
        (["compare", "--runs", "{run}", "--steps=5"], "--runs trains nothing; it takes only runs"),
        (["compare", "--runs", "{run}", "--seeds=2"], "--runs trains nothing; it takes only runs"),
        (["compare", "--runs", "{run}", "--cells=gru"], "--runs trains nothing"),
        (["compare", "--runs", "{run}", "--match=width"], "--runs trains nothing"),
        (["compare", "--runs", "{run}", "--runs-dir=r"], "--runs trains nothing"),
        (["compare", "--runs"], "--runs: name the runs to compare"),
        (
            ["compare", "text.txt", "--set", "train.seed=7"],
            "compare chooses the value for each run",
        ),
        (
            ["compare", "text.txt", "-s", "model.cell=lstm"],
            "compare chooses the value for each run",
        ),
        (["compare", "-"], "standard input can be read only once"),
        (["compare", "--runs", "{run}", "{other}"], "trained on different texts"),
        (["compare", "text.txt", "--set", "data.val=0"], "a comparison needs validation text"),
        (["compare", "text.txt", "--set", "model.reset=after"], "reset belongs to the GRU"),
    ],
    ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input(
    grucli: Grucli, trained: Path, other: Path, args: list[str], expected: str
) -> None:
    write("text.txt", prose(4000))
    words = [arg.format(run=trained, other=other) for arg in args]
    assert expected in refusal(grucli, *words)


def test_runs_that_read_a_text_differently_are_not_compared(grucli: Grucli, trained: Path) -> None:
    write("new.txt", prose(4000, seed=3) + 30 * "\u00e9\u2603")
    small = ["new.txt", "--steps=1", "--set=model.hidden=12"]
    runs = [
        trained_on(grucli, *small),
        trained_on(grucli, *small, "--init-from", trained, "--unknown=skip"),
    ]
    assert "read or divide their text differently" in grucli("compare", "--runs", *runs).err


@posix
def test_a_stopped_comparison_names_the_runs_that_are_complete(text_file: Path) -> None:
    process = start("compare", text_file, "--cells=gru,rnn", "--minutes=0.03", *TINY)
    wait_for(process, "1 of 2: ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    done, stopped = sorted(Path("runs").iterdir(), key=lambda path: "rnn" in path.name)
    told = err.decode()
    assert f"grucli train --resume {stopped}\n" in told
    assert told.endswith(f"that are complete:\n  grucli compare --runs {done}\n")


def test_what_a_file_says_of_cell_and_seed_is_not_used(grucli: Grucli, text_file: Path) -> None:
    write("s.yaml", "train:\n  seed: 7\nmodel:\n  cell: lstm\n")
    asked = ("--cells=gru", "--config", "s.yaml", "--steps=2", "--json", *TINY)
    done = grucli("compare", text_file, *asked)
    for key, option in (("model.cell", "--cells"), ("train.seed", "--seeds")):
        assert f"s.yaml: {key} is not used; compare chooses the value; see {option}" in done.err
    (row,) = json.loads(done.out)["runs"]
    assert (row["cell"], row["seed"]) == ("gru", 0)


def test_seeds_in_a_row_are_short() -> None:
    assert [_seeds(s) for s in ([2, 0, 1], [0, 1], [0, 2, 3])] == ["0-2", "0, 1", "0, 2, 3"]
