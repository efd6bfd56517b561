"""The code of docs/recipes/ runs, and gives what the text says of it."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.training.events import Evaluated, Event, Logged
from tests.test_library_docs import snippets
from tests.texts import prose

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
    name, read, *others, random = names["guesses"](names["strings"])
    assert min(name, read) >= 1
    assert max(name, read) < min(1000, *others)
    assert random > max(1e9, *others)
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


def tracked(package: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, list[float]]]:
    """The names that a program of the page about trackers defines, and the losses of its run."""
    pytest.importorskip(package)
    Path("letters.txt").write_text(prose(20_000), encoding="utf-8")
    options = {"settings": {"model.hidden": 8, "train.workers": 1}}
    losses: dict[str, list[float]] = {"train": [], "val": []}
    begin = grucli.train_events

    def events(*sources: str, epochs: float) -> Iterator[Event]:
        for event in begin(*sources, epochs=epochs, **options):
            if isinstance(event, Logged):
                losses["train"].append(event.row.loss)
            elif isinstance(event, Evaluated):
                losses["val"].append(event.val_loss or 0.0)
            yield event

    monkeypatch.setattr(grucli, "train_events", events)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    page = (RECIPES / "trackers.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (program,) = [one for one in programs if f"import {package}\n" in one]
    names: dict[str, Any] = {"__name__": "__main__"}
    with np.errstate(all="warn"):
        exec(compile(program, f"{package} in trackers.md", "exec"), names)
    assert all(losses.values())
    return names, losses


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_tracked_by_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    names, losses = tracked("wandb", monkeypatch)
    assert names["tracked"].config["model"]["hidden"] == 8
    (file,) = Path("wandb").glob("offline-run-*/*.wandb")
    written = file.read_bytes()
    assert all(repr(loss).encode() in written for loss in losses["train"] + losses["val"])
    (page, *_) = Path("wandb").glob("offline-run-*/files/media/html/sample*.html")
    samples = [path.read_text(encoding="utf-8") for _, path in names["event"].run.samples()]
    assert any(html.escape(text) in page.read_text(encoding="utf-8") for text in samples)


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_tracked_by_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy")
    names, losses = tracked("mlflow", monkeypatch)
    client = names["mlflow"].MlflowClient()
    (run,) = client.search_runs(["0"])
    for split, expected in losses.items():
        kept = client.get_metric_history(run.info.run_id, f"{split}_loss")
        assert [one.value for one in sorted(kept, key=lambda one: one.step)] == expected
    assert run.data.params["model.hidden"] == "8"
    found = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert found == {"report.html", "samples"}
