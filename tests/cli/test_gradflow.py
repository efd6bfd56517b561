"""``grucli gradflow``."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.helpers import SMALL, refusal, trained_on, write
from tests.conftest import Grucli


def test_how_far_a_gradient_reaches(grucli: Grucli, text_file: Path, trained: Path) -> None:
    result = grucli("gradflow", "--text", text_file, *SMALL, "--distance", 20)
    assert result.code == 0
    for name in ("RNN", "LSTM", "GRU"):
        assert f"{name}, 6 units, untrained" in result.out
    answer = json.loads(grucli("gradflow", trained, trained, "--distance", 8, "--json").out)
    assert [one["model"] for one in answer] == [trained.name, f"{trained.name} (2)"]
    assert answer[0]["median"][0] == pytest.approx(1.0)
    assert len(answer[0]["percentile_90"]) == 9
    both = grucli("gradflow", trained, "--untrained", "--distance", 8, "--plot", "both.svg")
    assert f"{trained.name}, untrained\n" in both.out
    drawn = Path("both.svg").read_text("utf-8")
    assert {"GRU, trained", "GRU, untrained"} == {*re.findall('data-name="([^"]+)"', drawn)}
    assert drawn.count('stroke-dasharray="7 4"') == 1


def test_how_far_each_reaches_is_the_end_of_the_answer(grucli: Grucli, text_file: Path) -> None:
    cells = ("--cells", "rnn,lstm", "--text", text_file, *SMALL, "--distance", 20)
    *_, header, rnn, lstm = (
        re.split("  +", row) for row in grucli("gradflow", *cells).out.splitlines()
    )
    assert header == ["the median falls below", "1.0%", "0.1%"]
    answer = json.loads(grucli("gradflow", *cells, "--json").out)
    for (name, *shown), one in zip((rnn, lstm), answer, strict=True):
        assert name == one["model"]
        reached = one["falls_below"].values()
        assert shown == ["k > 20" if k is None else f"k = {k}" for k in reached]


def test_the_scale_of_the_bars_is_in_powers_of_ten(
    grucli: Grucli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    header = grucli("gradflow", trained, "--distance", 8).out.splitlines()[3]
    assert header.split()[-1] == "|1"
    assert "|10\u207b\u2076" in header


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["gradflow", "--cells", "gru,tcn"], "there is no cell 'tcn'"),
        (["gradflow", "{run}", "--cells", "gru"], "--cells is for untrained models"),
        (["gradflow", "{run}", "{other}"], "have different vocabularies"),
        (["gradflow", "--untrained"], "--untrained is for runs"),
        (["gradflow", "{run}", "--hidden=5"], "--hidden is for untrained models"),
    ],
    ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input(
    grucli: Grucli, trained: Path, other: Path, args: list[str], expected: str
) -> None:
    words = [arg.format(run=trained, other=other) for arg in args]
    assert expected in refusal(grucli, *words)


def test_the_table_ends_where_documents_do(grucli: Grucli) -> None:
    write("list.txt", 300 * "ab\nba\n")
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=2")
    assert "few documents go back farther than" in grucli("gradflow", run, "--distance", 9).out
