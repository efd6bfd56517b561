from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import gradient_flow
from grucli.analysis.gradient_routes import look_back_in_text
from grucli.analysis.subject import untrained
from grucli.errors import UsageError


def test_the_median_and_its_range_are_relative_to_step_t(text_file: Path) -> None:
    subjects = untrained(["gru", "lstm"], str(text_file), hidden=6)
    for subject, flow in zip(subjects, gradient_flow.measure(subjects, 12, 5), strict=True):
        assert flow.name == subject.name
        norms = gradient_flow.norms_by_distance(
            look_back_in_text(subject.lm.model, subject.ids, 12, 5)
        )
        np.testing.assert_allclose(flow.median, np.median(norms / norms[0], axis=1))
        assert flow.median.shape == (13,)
        assert (flow.low <= flow.median).all()
        assert (flow.median <= flow.high).all()
        assert flow.to_dict()["median"] == flow.median.tolist()


def test_equal_names_are_told_apart_and_other_vocabularies_refused(text_file: Path) -> None:
    (subject,) = untrained(["gru"], str(text_file), hidden=6)
    flows = gradient_flow.measure([subject, subject, subject], 4, 2)
    assert [flow.name for flow in flows] == [subject.name + end for end in ("", " (2)", " (3)")]
    Path("other.txt").write_text("0123456789" * 50, encoding="utf-8")
    others = untrained(["gru"], "other.txt", hidden=6)
    with pytest.raises(UsageError, match="have different vocabularies"):
        gradient_flow.measure([subject, replace(others[0], name="other")], 4, 2)


def test_where_a_norm_falls_below_a_limit() -> None:
    assert gradient_flow.falls_below([1.0, 0.5, 0.009, 0.02], 0.01) == 2
    assert gradient_flow.falls_below([1.0, 0.5], 0.01) is None
