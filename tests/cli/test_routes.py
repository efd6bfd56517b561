"""``grucli routes``."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import (
    SMALL,
    fails_where_the_backward_pass_is_wrong,
    refusal,
    trained_on,
    write,
)
from tests.conftest import Grucli
from tests.texts import prose


def test_routes_are_counted_named_and_add_up(grucli: Grucli, text_file: Path) -> None:
    result = grucli("routes", "--text", text_file, *SMALL, "--distance", 9)
    assert result.code == 0
    assert "GRU          4      16      64     256" in result.out
    assert "LSTM         5      24     115" in result.out
    assert "candidate > direct" in result.out
    answer = json.loads(grucli("routes", "--text", text_file, *SMALL, "-k", 3, "--json").out)
    assert len(answer["compositions"]) == 64
    assert sum(one["share"] for one in answer["compositions"]) == pytest.approx(1.0)
    assert answer["relative_difference"] <= 1e-10
    assert answer["counts"]["lstm"]["2"] == 24
    assert set(answer["shares_by_distance"]) == {"1", "2", "4", "8", "16", "32", "64"}


def test_two_pictures_need_two_files(grucli: Grucli, text_file: Path) -> None:
    pictures = ("--plot", "x.svg", "--tree", "./x.svg")
    assert "name the same file" in refusal(grucli, "routes", "--text", text_file, *pictures)


def test_routes_of_a_trained_run(grucli: Grucli, trained: Path) -> None:
    result = grucli("routes", trained, "-k", 1, "--distance", 5, "--rows", 2)
    assert f"{trained.name}\nall 4 compositions of 1 step back" in result.out
    assert "2 more" in result.out


def test_a_share_that_rounds_to_zero_has_no_sign(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {1: {"direct": 1.0004, "update": -0.0004}}
    monkeypatch.setattr("grucli.analysis.route_shares.shares_by_distance", lambda *_: shares)
    shown = grucli("routes", "--text", text_file, *SMALL, "--distance", 1).out
    assert shown.splitlines()[-1].split() == ["1", "100.0%", "0.0%"]


def test_a_plot_of_nothing_is_not_written(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.analysis.route_shares.shares_by_distance", lambda *_: {})
    done = grucli("routes", "--text", text_file, *SMALL, "--plot", "none.svg", "--tree", "a.svg")
    assert done.code == 0
    assert "none.svg: is not written, because there is nothing to draw" in done.err
    assert not Path("none.svg").exists()
    assert "the 16 compositions of 2 routes" in Path("a.svg").read_text("utf-8")


def test_a_wrong_backward_pass_fails_the_command(grucli: Grucli) -> None:
    fails_where_the_backward_pass_is_wrong(grucli, "routes", "--distance=2")


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
        (["routes", "-k", "9", "--text", "text.txt"], "9 steps back there are more than 20,000"),
        (["routes", "--text", "text.txt", "--distance", "9999"], "the text has 4,000 characters"),
        (
            ["routes", "{run}", "--cell", "lstm"],
            "--cell is for untrained models; leave it out, or name no run",
        ),
        (["routes", "{run}", "--text", "new.txt"], "the model never saw the character"),
        (["routes", "nothing"], "nothing: there is no such run"),
        (["routes", "--plot", "a.gif"], "--plot a.gif: a plot is an SVG file"),
        (["routes", "--tree", "a.png"], "--tree a.png: a plot is an SVG file"),
        (
            ["routes", "-k", "4", "--tree", "a.svg", "--text", "text.txt"],
            "256 compositions are too",
        ),
        (["routes", "--plot", "no/a.svg"], "--plot no/a.svg: there is no directory no"),
        (["routes", "{run}", "--hidden=5"], "--hidden is for untrained models"),
        (["routes", "--cell", "gru,lstm"], "name one"),
        (["routes", "--cell", ""], "there is no cell"),
    ],
    ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input(grucli: Grucli, trained: Path, args: list[str], expected: str) -> None:
    write("text.txt", prose(4000))
    write("new.txt", "\N{SNOWMAN} and more" * 50)
    words = [arg.format(run=trained) for arg in args]
    assert expected in refusal(grucli, *words)
