"""``grucli plot``."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from grucli.charts import CELLS, COLOURS
from tests.cli.helpers import trained_on
from tests.conftest import Grucli


def test_curves_are_drawn_in_the_width_of_the_terminal(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained_on(grucli, text_file, "--steps", "30")
    for columns in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = grucli("plot", run).out.splitlines()
        assert max(map(len, lines[:-1])) <= min(columns, 100)
        assert re.search(r"at the end, from the top: (training|validation) \d\.\d{4}, ", lines[-1])
        assert "\u2800" < max("".join(lines[:-1])) <= "\u28ff"
    monkeypatch.setenv("TERM", "dumb")
    assert grucli("plot", run, "--by", "time").out.isascii()


def test_curves_are_written_to_files(grucli: Grucli, text_file: Path, tmp_path: Path) -> None:
    runs = [trained_on(grucli, text_file, "--steps", "30", "--seed", seed) for seed in ("1", "2")]
    file = tmp_path / "curve.svg"
    assert grucli("plot", *runs, "--by", "chars", "-o", file).code == 0
    root = ElementTree.fromstring(file.read_text("utf-8"))
    assert len([one for one in root.iter() if one.tag.endswith("polyline")]) == 2
    assert {"seed 1", "seed 2"} <= {one.text for one in root.iter()}  # what differs
    assert grucli("plot", *runs, "--by", "chars", "-o", "-").out == file.read_text("utf-8")
    assert "--force" in grucli("plot", *runs, "-o", file).err
    for name in ("curve.png", "curve.pdf", "curve"):
        wrong = grucli("plot", *runs, "-o", tmp_path / name)
        assert wrong.code == 2
        assert (
            f"{name}: a plot is an SVG file, so its name must end in .svg; a browser" in wrong.err
        )


def test_cells_have_their_names_and_the_colours_of_other_figures(
    grucli: Grucli, text_file: Path
) -> None:
    cells = ("lstm", "gru")
    runs = [trained_on(grucli, text_file, "--steps", "30", f"--set=model.cell={c}") for c in cells]
    drawn = grucli("plot", *runs, "-o", "-").out
    found = dict(re.findall(r'data-name="([^"]+)"[^>]+stroke="(#\w+)"', drawn))
    assert found == {"LSTM": COLOURS[CELLS.index("lstm")], "GRU": COLOURS[CELLS.index("gru")]}
    after = trained_on(grucli, text_file, "--steps", "30", "--set=model.reset=after")
    assert {"reset after", "reset before"} <= {
        *re.findall(r'data-name="([^"]+)"', grucli("plot", runs[1], after, "-o", "-").out)
    }


def test_runs_without_validation_text_are_named(grucli: Grucli, text_file: Path) -> None:
    one, other = (
        trained_on(grucli, text_file, "--steps", "30"),
        trained_on(grucli, text_file, "--steps", "30", "--set=data.val=0"),
    )
    drawn = grucli("plot", one, other)
    assert drawn.code == 0
    assert f"note: {other}: has no validation loss, so it is not drawn" in drawn.err
    assert grucli("plot", other, other).out == grucli("plot", other).out
    third = trained_on(grucli, text_file, "--steps", "30", "--set=data.val=0")
    none = grucli("plot", other, third)
    assert (none.code, none.out) == (2, "")
    assert "none of these runs has a validation loss" in none.err
    page = grucli("report", one, other, "-o", "-").out
    assert f"a training loss as best loss and without a curve: {other.name}." in page
    losses = {row["run"]: row["loss"] for row in json.loads(grucli("runs", "--json").out)}
    assert losses[other.name] is None


def test_a_list_of_runs_may_hold_what_is_no_run(
    grucli: Grucli, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/20260101-000000-verse")
    Path("runs/README.md").write_text("Runs\n")
    drawn = grucli("plot", *sorted(Path("runs").iterdir()))
    assert drawn.code == 0
    assert "runs/README.md: no run, and left out" in drawn.err
    assert "there is no such" not in drawn.err
    for name in ("latest", "verse"):
        assert grucli("plot", name).out == drawn.out
    assert grucli("plot", "runs/README.md").code == 2
    wrong = grucli("plot", "latest", "gone")
    assert wrong.code == 2
    assert "gone: not a run directory" in wrong.err


def test_short_names_are_those_of_all_commands(
    grucli: Grucli, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/20260101-000000-verse")
    run = Path("runs/20260101-000000-verse")
    assert grucli("sample", "verse", "-n", "5").code == 0
    assert grucli("eval", "latest", "--split", "val").code == 0
    assert grucli("page", "verse").out.strip() == str(run / "page.html")
    assert grucli("report", "verse").out.strip() == str(run / "report.html")
    resumed = grucli("train", "--resume", "latest", "--steps", "40", "-q")
    assert (resumed.code, resumed.out.strip()) == (0, str(run))
