"""The code of docs/recipes/ runs, and gives what the text says of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_library_docs import snippets

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"


def run(name: str) -> dict[str, Any]:
    """The names that a recipe defines; its files are in the working directory."""
    page = RECIPES / f"{name}.md"
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(snippets(page), str(page), "exec"), names)
    return names


def test_prose_is_told_from_code(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("prose-or-code")
    assert 0.9 < names["auc"] < 1
    assert 0.8 < names["right"] < 1
    ratios = [names["of_held_prose"], names["of_held_code"]]
    assert [len(ratio) for ratio in ratios] == [500, 500]
    assert names["mistaken"][-1] == names["recognized"][-1] == 1
    curve = Path("roc.svg").read_text(encoding="utf-8")
    assert curve.startswith("<svg")
    assert f"AUC {names['auc']:.3f}" in curve
    assert f"AUC {names['auc']:.3f}" in capsys.readouterr().out


def test_new_names_fit_a_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("new-names")
    assert len(names["names"]) > 3000
    assert len(names["new"]) == 200
    assert len(names["fitting"]) == 50
    tally = names["found"].tally
    assert 200 <= tally.new <= tally.made < 300
    assert len(set(names["likeliest"])) == 20
    assert 0 < len(set(names["likeliest"]) & set(names["names"])) < 20
    assert "of what was made was new" in capsys.readouterr().out


def test_how_guessable_a_string_is() -> None:
    names = run("guessable")
    name, read, *_, random = names["guesses"](names["strings"])
    assert 1 <= name < 1000
    assert name < read < 1e5
    assert random > 1e9
    bits = names["bits"]
    assert (names["guesses"](names["strings"]) < 2**bits).all()
    held, known = (curve.x for curve in names["curves"])
    assert len(held) == len(known) == 500
    assert 1e5 < np.median(held) < 1e12
    assert np.median(known) < 100 * np.median(held)
    assert Path("guesses.svg").read_text(encoding="utf-8").startswith("<svg")


def test_odd_lines_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("odd-lines")
    assert len(names["odd"]) == len(names["lines"]) // 100 > 30
    assert 0.9 < names["auc"] < 1
    assert names["found"][len(names["lines"]) // 50] > 0.4
    assert Path("odd-lines.svg").read_text(encoding="utf-8").startswith("<svg")
    assert f"AUC {names['auc']:.3f}" in capsys.readouterr().out
