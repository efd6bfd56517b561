"""The checks of models and of one step of training, and mistakes that only such a step makes."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grucli.analysis.gradient_checks import (
    Report,
    Step,
    check_run,
    check_settings,
    check_training,
    next_step,
)
from grucli.analysis.mistakes import find_mistake, make_mistake
from grucli.errors import SettingsError, UsageError
from grucli.nn import backend, gradcheck, input_projection, matmul, packed
from grucli.nn import model as model_module
from grucli.nn.backend import NUMPY, Backend, usable
from grucli.nn.cells import CELLS
from grucli.nn.dropout import Dropout
from grucli.nn.gradcheck import Row
from grucli.nn.onednn import Unavailable
from grucli.run.run import Run
from grucli.training import processes
from grucli.training.processes import Shards


def test_a_model_that_settings_describe() -> None:
    report = check_settings({"model.cell": "rnn", "model.layers": 1, "model.hidden": 3})
    assert report.passed
    assert report.rows[0][0] == "entry by entry: V=5 H=3 L=1 T=4 B=3"
    assert "layer2.h_0" not in {row.name for _, row in report.rows}


def test_settings_that_change_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match=r"train\.batch has no effect on a gradient check"):
        check_settings({"train.batch": 3})
    with pytest.raises(SettingsError, match="unknown key"):
        check_settings({"model.size": 3})


def test_trained_weights_on_a_text(trained: Path) -> None:
    report = check_run(trained)
    assert report.passed
    assert report.rows[0][0].endswith("T=12 B=3")
    Path("short.txt").write_text("the", encoding="utf-8")
    assert check_run(trained, "short.txt").rows[0][0].endswith("T=2 B=1")


def test_a_wrong_gradient_fails_the_report() -> None:
    rows = [Row("a", (2,), "2 of 2", 1e-9), Row("b", (2,), "2 of 2", 0.5)]
    report = Report([("section", row) for row in rows])
    assert (report.passed, report.wrong, report.worst) == (False, ["b"], 0.5)
    assert [one["passed"] for one in report.to_dict()["checks"]] == [True, False]
    assert not Report([("section", Row("a", (1,), "1 of 1", float("nan")))]).passed


@pytest.mark.parametrize("factor", [1000.0, 3000.0])
def test_what_cannot_be_decided_is_checked_on_the_initial_weights(
    factor: float, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Run.open(trained)
    opened.checkpoint.model.params.flat *= factor
    monkeypatch.setattr(Run, "open", lambda _: opened)
    report = check_run(trained, products="numpy")
    assert (report.passed, report.wrong) == (True, [])
    initial = [row for title, row in report.rows if title.startswith("before training")]
    assert {row.verdict for row in initial} == {"right"}
    assert len(report.undecided) > 10
    assert {one["verdict"] for one in report.to_dict()["checks"]} == {"right", "undecided"}
    with make_mistake(find_mistake("gru", "route 2, update")):
        assert not check_run(trained).passed


def test_a_step_of_training_is_checked_at_full_size() -> None:
    report = check_settings({"model.hidden": 3, "model.layers": 1}, products="numpy")
    title = "as in training, numpy float32, 2 processes, against float64: V=100 H=256 L=1 T=24 B=48"
    assert {row.verdict for row in report.sections[title]} == {"right"}
    assert "a step of training in float64: V=100 H=256 L=1 T=24 B=48" in report.sections


# ---- one step of training

try:
    ALL = [NUMPY, Backend("onednn"), *[Backend("onednn", "bfloat16")] * usable().has_bfloat16]
except Unavailable:
    ALL = [NUMPY]


NO_DROPOUT = Dropout(0.0, ())


def step(
    cell: str = "gru",
    *,
    dropout: Dropout = NO_DROPOUT,
    documents: bool = False,
    workers: int = 1,
) -> Step:
    model, window = gradcheck.toy(50, 48, 2, 12, 16, 0.0, 0, cell, documents=documents)
    window = replace(window, state=window.state.astype(np.float32))
    return Step(model.astype(np.float32), window, dropout, workers)


def wrong(one: Step, products: Backend = NUMPY) -> list[Row]:
    return [row for _, row in check_training(one, [products]) if row.verdict != "right"]


OUTPUTS, RECURRENT = Dropout(0.25, (1,)), Dropout(0.0, (1,), recurrent=0.3)


@pytest.mark.parametrize("products", ALL, ids=str)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "kind",
    [{}, {"documents": True}, {"dropout": OUTPUTS}, {"dropout": RECURRENT}],
    ids=["plain", "documents", "dropout", "weight dropout"],
)
def test_every_gradient_of_training_is_right(
    products: Backend, cell: str, kind: dict[str, Any]
) -> None:
    rows = [row for _, row in check_training(step(cell, **kind), [products])]
    assert [row for row in rows if row.verdict != "right"] == []
    assert {"loss", "layer1.h_T", "layer2.h_T", "output.W_hc"} <= {row.name for row in rows}


def test_two_processes_and_what_they_could_do_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    two = step(dropout=Dropout(0.25, (1,), recurrent=0.3), workers=2)
    assert wrong(two) == []
    right = Shards.loss_and_gradients

    def halved(shards: Shards, *arguments: Any) -> Any:
        loss, state, grads = right(shards, *arguments)
        grads.flat -= 0.5 * shards.own.gradients[1].flat
        return loss, state, grads

    monkeypatch.setattr(Shards, "loss_and_gradients", halved)
    assert wrong(two)


def test_blocks_in_reverse_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "UNPACKED", 10_000)
    monkeypatch.setattr(matmul, "best_width", lambda rows, K, N: 16 if N % 16 == 0 else N)
    monkeypatch.setattr(backend, "best_width", matmul.best_width)
    matmul._largest_group.cache_clear()
    assert wrong(step()) == []
    update = packed.PackedWeights.update

    def reversed_(weights: Any) -> None:
        update(weights)
        copy = weights["layer1.W_h"].blocks
        copy[:] = copy[:, ::-1].copy()

    monkeypatch.setattr(packed.PackedWeights, "update", reversed_)
    assert any(row.verdict == "WRONG" for row in wrong(step()))


def test_output_weights_from_the_first_rows_only_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "ROWS_AT_ONCE", 64)
    assert wrong(step()) == []
    right, calls = matmul.Matrix.gradient, itertools.count()

    def first_rows(*arguments: Any, add: bool = False) -> None:
        if not add or next(calls) % 3 == 0:
            right(*arguments, add=add)

    monkeypatch.setattr(matmul.Matrix, "gradient", first_rows)
    (row, *_) = wrong(step())
    assert row.name == "all parameters"


def test_one_group_of_rows_by_character_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_projection, "SORTED_AT_ONCE", 48 * 64)
    assert wrong(step()) == []
    right = input_projection.groupby

    def first_group(*given: Any) -> list[tuple[int, list[Any]]]:
        return [(key, list(group)) for key, group in right(*given)][:1]

    monkeypatch.setattr(input_projection, "groupby", first_group)
    assert wrong(step())[0].name == "all parameters"


@pytest.mark.parametrize("applied", [0, 1], ids=["to the weights", "to the gradients"])
def test_recurrent_masks_that_are_applied_once_are_seen(
    applied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, calls = processes.mask_, itertools.count()

    def every_second(params: Any, masks: Any) -> None:
        if next(calls) % 2 == applied:
            right(params, masks)

    monkeypatch.setattr(processes, "mask_", every_second)
    assert any(row.verdict == "WRONG" for row in wrong(step(dropout=RECURRENT)))


def test_weights_that_rounding_makes_undecidable_are_not_wrong() -> None:
    chaotic = step("rnn")
    chaotic.model.params.flat *= 4.0
    rows = wrong(chaotic, ALL[-1])
    assert {row.verdict for row in rows} <= {"undecided"}


def test_the_next_step_of_a_run(trained: Path) -> None:
    checkpoint = Run.open(trained).checkpoint
    ids = np.tile(np.arange(5), 900)
    following = next_step(checkpoint, ids, resumes=True)
    assert following.window.x.shape[1] == checkpoint.batch == 4
    assert following.dropout is not None
    assert following.dropout.seed[-1] == checkpoint.progress.step
    assert np.array_equal(following.window.state, checkpoint.state)
    other = next_step(checkpoint, ids[:7], resumes=False)
    assert other.window.x.size <= 6
    assert not other.window.state.any()
