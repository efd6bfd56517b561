"""The cell of docs/adding-a-cell.md: one file and one line make it known everywhere."""

import re
import types
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis.gradient_routes import look_back
from grucli.nn.cells import CELLS
from grucli.nn.gradcheck import check_all, toy
from tests.conftest import TINY, Grucli

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-cell.md"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    module = types.ModuleType("mgu")
    exec(compile(blocks[0], str(PAGE), "exec"), module.__dict__)
    assert blocks[1] == 'CELLS["mgu"] = MGU()\n'
    monkeypatch.setitem(CELLS, "mgu", module.__dict__["MGU"]())


def test_its_gradients_are_right_and_its_routes_add_up() -> None:
    assert all(row.passed for _, row in check_all(hidden=5, layers=2, dropout=0.25, cell="mgu"))
    model, _ = toy(V=7, H=5, L=1, T=2, B=2, dropout=0.0, seed=0, cell="mgu")
    past = look_back(model, np.random.default_rng(0).integers(0, 7, (12, 3)), 8)
    *_, last = past.gradients()
    np.testing.assert_allclose(last, past.by_backward, rtol=1e-9, atol=1e-15)


def test_it_is_trained_sampled_evaluated_resumed_and_looked_into(
    grucli: Grucli, text_file: Path
) -> None:
    one = ("--set", "model.cell=mgu", "--set", "train.workers=1")
    trained = grucli("train", text_file, *one, *TINY, "--steps", 4)
    assert trained.code == 0, trained.err
    run = trained.out.strip()
    assert grucli("sample", run, "--length", 9).code == 0
    assert grucli("eval", run, text_file).code == 0
    assert grucli("gradcheck", run).code == 0
    assert "gate > direct" in grucli("routes", run, "--distance", 5).out
    assert grucli("train", "--resume", run, "--steps", 6).code == 0
