"""The commands that look inside: routes, gradflow, activations, compare."""

import json
from pathlib import Path

import pytest

from grucli.analysis import comparison
from grucli.analysis.mistakes import find_mistake, make_mistake
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose

SMALL = ("--hidden", 6, "--positions", 4)


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


def test_routes_of_a_trained_run(grucli: Grucli, trained: Path) -> None:
    result = grucli("routes", trained, "-k", 1, "--distance", 5, "--rows", 2)
    assert f"{trained.name}\nall 4 compositions of 1 step back" in result.out
    assert "2 more" in result.out


def test_how_far_a_gradient_reaches(grucli: Grucli, text_file: Path, trained: Path) -> None:
    result = grucli("gradflow", "--text", text_file, *SMALL, "--distance", 20)
    assert result.code == 0
    for name in ("RNN", "LSTM", "GRU"):
        assert f"{name}, 6 units, untrained" in result.out
    answer = json.loads(grucli("gradflow", trained, trained, "--distance", 8, "--json").out)
    assert [one["model"] for one in answer] == [trained.name, f"{trained.name} (2)"]
    assert answer[0]["median"][0] == pytest.approx(1.0)
    assert len(answer[0]["percentile_90"]) == 9


def test_plots_are_drawn(grucli: Grucli, text_file: Path) -> None:
    for command in ("routes", "gradflow"):
        options = ("--text", text_file, *SMALL, "--distance", 6)
        assert grucli(command, *options, "--plot", f"{command}.svg").code == 0
        drawn = Path(f"{command}.svg").read_bytes()
        assert b"<svg" in drawn
        assert grucli(command, *options, "--plot", f"{command}.svg", "--force").code == 0
        assert Path(f"{command}.svg").read_bytes() == drawn
        if Path("/dev/full").exists():
            Path("pipe.svg").unlink(missing_ok=True)
            Path("pipe.svg").symlink_to("/dev/full")
            full = grucli(command, *options, "--plot", "pipe.svg")
            assert full.code == 1
            assert "pipe.svg: cannot write the plot" in full.err


def test_a_plot_of_nothing_is_not_written(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.analysis.route_shares.shares_by_distance", lambda *_: {})
    done = grucli("routes", "--text", text_file, *SMALL, "--plot", "none.svg")
    assert done.code == 0
    assert "none.svg: is not written, because there is nothing to draw" in done.err
    assert not Path("none.svg").exists()


def test_a_text_is_coloured_by_a_unit_or_by_surprisal(grucli: Grucli, trained: Path) -> None:
    found = grucli("activations", trained, "--top", 2)
    assert "position in line" in found.out
    coloured = grucli("activations", trained, "--unit", 3, "--length", 50)
    surprised = json.loads(grucli("activations", trained, "--surprisal", "-n", 50, "--json").out)
    assert "".join(character for character, _ in surprised["values"]) == coloured.out.rstrip("\n")
    assert min(bits for _, bits in surprised["values"]) >= 0


def test_a_page_needs_no_other_file(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text(prose(300), encoding="utf-8")
    asked = ("--text", "odd.txt", "--unit", 0, "--html", "page.html")
    assert grucli("activations", trained, *asked).code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("<span") == 300
    assert "http" not in page
    assert "<script" not in page


def test_cells_are_compared_and_the_runs_compared_again(grucli: Grucli, text_file: Path) -> None:
    result = grucli("compare", text_file, "--cells", "gru,lstm", "--steps", 6, *TINY)
    assert result.code == 0, result.err
    assert "a GRU has fewer parameters than an LSTM of its width: held" in result.out
    runs = sorted(Path("runs").iterdir())
    assert len(runs) == 2
    again = grucli("compare", "--runs", *runs)
    assert again.out == result.out
    rows = json.loads(grucli("compare", "--runs", runs[0], "--json").out)["runs"]
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
        (["routes", "-k", "9", "--text", "text.txt"], "9 steps back there are more than 20,000"),
        (["routes", "--text", "text.txt", "--distance", "9999"], "the text has 4,000 characters"),
        (
            ["routes", "{run}", "--cell", "lstm"],
            "--cell is for untrained models; leave it out, or name no run",
        ),
        (["routes", "{run}", "--text", "new.txt"], "the model never saw the character"),
        (["routes", "nothing"], "nothing: there is no such run"),
        (["routes", "--plot", "a.gif"], "--plot a.gif: a plot is an SVG file"),
        (["routes", "--plot", "no/a.svg"], "--plot no/a.svg: there is no directory no"),
        (["gradflow", "--cells", "gru,tcn"], "there is no cell 'tcn'"),
        (["gradflow", "{run}", "--cells", "gru"], "--cells is for untrained models"),
        (["gradflow", "{run}", "{other}"], "have different vocabularies"),
        (
            ["activations", "{run}", "--unit", "12"],
            "there is no unit 12: this model's units are numbered 0 to 11",
        ),
        (
            ["activations", "{run}", "--layer", "2"],
            "there is no layer 2: this model's layers are numbered 1 to 1",
        ),
        (["activations", "{run}", "--unit", "1", "--top", "1"], "cannot be combined; keep one"),
        (["activations", "{run}", "--html", "a.html"], "--html writes a coloured text"),
        (["compare"], "name a text to train on, or --runs"),
        (["compare", "text.txt", "--cells", "gru,x"], "there is no cell 'x'"),
        (["compare", "text.txt", "--runs", "{run}"], "--runs takes run directories, not files"),
        (
            ["compare", "--runs", "{run}", "--steps=5"],
            "leave out the budget, the settings and --seeds",
        ),
        (
            ["compare", "--runs", "{run}", "--seeds=2"],
            "leave out the budget, the settings and --seeds",
        ),
        (["routes", "{run}", "--hidden=5"], "--hidden is for untrained models"),
        (["gradflow", "{run}", "--hidden=5"], "--hidden is for untrained models"),
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
        (["routes", "--cell", "gru,lstm"], "name one"),
        (["routes", "--cell", ""], "there is no cell"),
        (["activations", "{run}", "-n", "1"], "a length of 1 is too short; read 2 characters"),
        (["activations", "{run}", "--unit=1", "--html", "."], "this is a directory"),
        (["activations", "{run}", "--unit=1", "--html", "no/x.html"], "there is no directory no"),
        (["compare", "--runs", "{run}", "{other}"], "trained on different texts"),
        (["compare", "text.txt", "--set", "data.val=0"], "a comparison needs validation text"),
        (["compare", "text.txt", "--set", "model.reset=after"], "reset belongs to the GRU"),
    ],
    ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input(
    grucli: Grucli, trained: Path, other: Path, args: list[str], expected: str
) -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    Path("new.txt").write_text("\N{SNOWMAN} and more" * 50, encoding="utf-8")
    before = snapshot(Path())
    result = grucli(*(arg.format(run=trained, other=other) for arg in args))
    assert (result.code, result.out) == (2, ""), result
    assert expected in result.err
    assert snapshot(Path()) == before


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on another text."""
    import os

    from grucli.cli import main

    home = tmp_path_factory.mktemp("other")
    (home / "text.txt").write_text("0123456789 \n" * 400, encoding="utf-8")
    before = Path.cwd()
    os.chdir(home)
    try:
        with pytest.raises(SystemExit):
            main(["train", "text.txt", "--steps", "2", "--quiet", *TINY])
    finally:
        os.chdir(before)
    return next((home / "runs").iterdir())


def test_a_gradient_that_is_broken_on_purpose_is_found(grucli: Grucli) -> None:
    result = grucli("gradcheck", "--break", "route-2-update", "--brief")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[:3] == [
        "a mistake in grucli.nn.cells.gru: route 2, update",
        "  right: add_z(z)",
        "  wrong: pass",
    ]
    assert "of 57 gradients (layer1.W_xz, " in lines[4]
    assert "V characters in the vocabulary, H units" in result.out
    right = grucli("gradcheck", "--brief")
    assert (right.code, right.out.splitlines()[0]) == (0, "all gradients are right")
    assert len(right.out.splitlines()) == 10


@pytest.mark.parametrize("command", [["routes", "--distance=2"], ["example"]])
def test_a_wrong_backward_pass_fails_the_command(grucli: Grucli, command: list[str]) -> None:
    assert grucli(*command).code == 0
    with make_mistake("gru", find_mistake("gru", "route-2-update")):
        result = grucli(*command)
        records = json.loads(grucli(*command, "--json").out)
    assert result.code == 1
    assert "WRONG" in result.out
    assert records["agrees"] is False


def test_a_mistake_that_does_not_apply_is_refused(grucli: Grucli) -> None:
    for name in ("b-r", "b-n"):
        result = grucli("gradcheck", "--set=model.cell=rnn", "--break", name)
        assert (result.code, result.out) == (2, "")
        assert f"there is no mistake {name!r} for the cell rnn" in result.err
    for name in ("b", "b-of-a-higher-layer"):
        assert grucli("gradcheck", "--set=model.cell=rnn", "--break", name, "--brief").code == 1
    without = grucli("gradcheck", "--set=model.dropout=0", "--break", "dropout")
    assert (without.code, without.out) == (2, "")
    assert "no check sees this mistake in this model" in without.err


def test_mistakes_are_listed_by_cell(grucli: Grucli) -> None:
    assert (
        "route-forget"
        in grucli("gradcheck", "--break", "list", "--set", "model.cell=lstm").out.splitlines()
    )
    result = grucli("gradcheck", "--break", "route-5")
    assert result.code == 2
    assert "there is no mistake 'route-5' for the cell gru; there are:" in result.err
    assert "route-1-direct" in result.err
    slugs = grucli("gradcheck", "--break", "list").out.splitlines()
    assert len(slugs) == len(set(slugs)) > 20
