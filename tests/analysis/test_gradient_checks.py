from pathlib import Path

import pytest

from grucli.analysis.gradient_checks import Report, check_run, check_settings
from grucli.analysis.mistakes import find, made
from grucli.errors import SettingsError, UsageError
from grucli.nn.gradcheck import Row
from grucli.run.run import Run


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


def test_what_cannot_be_decided_is_checked_on_the_initial_weights(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Run.open(trained)
    opened.checkpoint.model.params.flat *= 1000.0
    monkeypatch.setattr(Run, "open", lambda _: opened)
    report = check_run(trained, products="numpy")
    assert (report.passed, report.wrong) == (True, [])
    initial = [row for title, row in report.rows if title.startswith("initial weights")]
    assert {row.verdict for row in initial} == {"right"}
    assert len(report.undecided) > 10
    assert {one["verdict"] for one in report.to_dict()["checks"]} == {"right", "undecided"}
    with made("gru", find("gru", "route 2, update")):
        assert not check_run(trained).passed


def test_a_step_of_training_is_checked_at_full_size() -> None:
    report = check_settings({"model.hidden": 3, "model.layers": 1}, products="numpy")
    title = "as in training, numpy float32, 2 processes, against float64: V=100 H=256 L=1 T=24 B=48"
    assert {row.verdict for row in report.sections[title]} == {"right"}
    assert "a step of training in float64: V=100 H=256 L=1 T=24 B=48" in report.sections
