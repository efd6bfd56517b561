"""The lecture and its exercises: the commands of the pages, and what is said about them."""

import re
from pathlib import Path

from tests.commands import DOCS, run_commands
from tests.conftest import Grucli
from tests.nn.test_adding_a_cell import source
from tests.texts import prose


def wrong_arrays(shown: str) -> set[str]:
    """The arrays of the first section of a check that are wrong."""
    section = shown.split("\n\n")[2]
    return {line.split()[0].partition(".")[2] for line in section.splitlines() if "WRONG" in line}


def test_the_commands_of_the_lecture(grucli: Grucli) -> None:
    shown = [*run_commands("lecture.md", grucli).values()]
    assert len(shown) == 10
    right, broken, gru, lstm, _, trained, of_run, routes, decay, _ = shown
    for check in (right, of_run):
        assert check.out.startswith("all gradients are right")
    assert "WRONG" in broken.out
    assert "from_2" in gru.out
    assert "carry_2" in lstm.out
    assert re.fullmatch(r"runs/[\d-]+-lecture\n", trained.out)
    assert "all 16 compositions of 2 steps back" in routes.out
    assert "sum of all compositions = gradient of the backward pass" in routes.out
    lost = re.findall(r"^(\w+), .* k = (\d+)  +k", decay.out, re.M)
    assert [cell for cell, _ in lost] == ["RNN", "LSTM", "GRU"]
    assert int(lost[0][1]) < min(int(number) for _, number in lost[1:])
    for name in ("handout.html", "tree.svg", "routes.svg", "decay.svg", "page.html"):
        assert Path(name).stat().st_size > 1000


def test_the_commands_of_the_exercises(grucli: Grucli, forgets_cells: None) -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    Path("mgu.py").write_text(source(), encoding="utf-8")
    shown = run_commands("exercises.md", grucli)

    def of(words: str) -> str:
        return next(result.out for command, result in shown.items() if words in command)

    assert "This 1-unit RNN" in of("one-unit")
    assert "WRONG: the sum" in of("mine.py")
    assert re.search(r"relative difference of \d\.\de-1[4-9]", of("solved.py"))
    layer = {f"{kind}{gate}" for kind in ("W_x", "W_h", "b_") for gate in "zrn"}
    assert wrong_arrays(of("b-r")) == {"b_r"}
    assert wrong_arrays(of("weights-from")) == {"W_hz", "W_hr"}
    assert wrong_arrays(of("initial-state")) == {"h_0"}
    assert wrong_arrays(of("route-4")) == layer | {"h_0", ""}  # x has no point in its name
    assert "all 125 compositions of 3 steps back" in of("five.py")
    assert "all 64 compositions of 3 steps back" in of("--cell gru -k 3")
    assert re.search(r"MGU +3 +9 +27 +81", of("routes --cell-file mgu.py"))


def test_the_pages_of_the_lecture_are_linked() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for page in ("lecture.md", "exercises.md", "notebook.ipynb", "derivation.html"):
        assert f"(docs/{page})" in readme, page
