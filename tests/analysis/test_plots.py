import sys
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import plots
from grucli.analysis.gradient_flow import GradientFlow
from grucli.charts import Curve
from grucli.errors import RunError, UsageError

SHARES = {1: {"direct": 0.9, "update": 0.1}, 2: {"direct": 1.2, "update": -0.2}}


def test_plots_are_drawn_and_equal_ones_have_equal_bytes() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    flow = GradientFlow("a $name$", np.ones(4) / 2, np.ones(4), np.ones(4) * 2)
    for name in ("one.svg", "two.svg"):
        plots.draw_flows(Path(name), [flow])
    assert Path("one.svg").read_bytes() == Path("two.svg").read_bytes()
    plots.draw_shares(Path("shares.png"), "run", SHARES)
    assert Path("shares.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before  # a notebook keeps its own
    Path("pipe.svg").symlink_to("/dev/full")
    if Path("/dev/full").exists():
        with pytest.raises(RunError, match="cannot write the plot"):
            plots.draw_shares(Path("pipe.svg"), "run", SHARES)


def test_curves_of_any_finite_values_are_drawn() -> None:
    pytest.importorskip("matplotlib")
    for value in (1e308, 5e-324):
        curves = [Curve("a", [0, 1], [value, value]), Curve("b", [-value, value], [-value, value])]
        plots.draw_curves(Path("a.png"), curves, "step", "loss", value)
        assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="the name must end in"):
        plots.draw_shares(Path("a.gif"), "run", SHARES)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="needs matplotlib"):
        plots.draw_shares(Path("a.svg"), "run", SHARES)
