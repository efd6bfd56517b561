from pathlib import Path

import pytest

from grucli.analysis.gradient_checks import Report, check_run, check_settings
from grucli.errors import SettingsError, UsageError
from grucli.nn.gradcheck import Row


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
