import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import gradient_flow
from grucli.analysis.gradient_flow import GradientFlow
from grucli.analysis.gradient_routes import look_back, look_back_in_text, windows_before
from grucli.analysis.subject import Subject, before_training, untrained
from grucli.data.vocabulary import Vocabulary
from grucli.errors import UsageError
from grucli.language_model import LanguageModel
from grucli.nn.gradcheck import toy
from grucli.nn.model import Model
from grucli.nn.params import Ids


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


def a_list() -> tuple[Ids, Model]:
    """Lines of 3 to 12 letters, and a model that reads each of them by itself."""
    rng = np.random.default_rng(0)
    lines = [[0, *rng.integers(1, 7, rng.integers(3, 13))] for _ in range(400)]
    model, _ = toy(7, 6, 1, 2, 2, 0.0, 0, "gru")
    model.separator = 0
    return np.concatenate(lines), model


def test_in_a_list_only_places_within_their_line_count() -> None:
    ids, model = a_list()
    lm = LanguageModel(model, Vocabulary(np.arange(7)), np.ones(7, np.int64))
    (flow,) = gradient_flow.measure([Subject("list", lm, ids)], 40, 200)
    assert 9 <= len(flow.median) - 1 <= 12  # no line goes back farther
    windows = windows_before(ids, 40, 200)
    for k, median in enumerate(flow.median):
        inside = (windows[-1 - k : -1] != 0).all(axis=0)  # what is read after the state at t-k
        plain = look_back(model, windows[:, inside], 40)
        norms = gradient_flow.norms_by_distance(plain)
        assert median == pytest.approx(np.median(norms[k] / norms[0]))
        assert median > 0
    assert flow.falls_below()[1e-2] is None


def test_equal_names_are_told_apart_and_other_vocabularies_refused(text_file: Path) -> None:
    (subject,) = untrained(["gru"], str(text_file), hidden=6)
    flows = gradient_flow.measure([subject, subject, subject], 4, 2)
    assert [flow.name for flow in flows] == [subject.name + end for end in ("", " (2)", " (3)")]
    Path("other.txt").write_text("0123456789" * 50, encoding="utf-8")
    others = untrained(["gru"], "other.txt", hidden=6)
    with pytest.raises(UsageError, match="have different vocabularies"):
        gradient_flow.measure([subject, replace(others[0], name="other")], 4, 2)


def a_subject(cell: str = "gru", *, trained: bool = False) -> Subject:
    model, _ = toy(7, 6, 1, 2, 2, 0.0, 0, cell)
    lm = LanguageModel(model, Vocabulary(np.arange(7)), np.ones(7, np.int64))
    return Subject("a model", lm, np.arange(7), trained)


def test_where_a_norm_falls_below_a_limit() -> None:
    median = np.array([1.0, 0.5, 0.009, 0.02])
    assert GradientFlow("a", a_subject(), median, median, median).falls_below() == {
        1e-2: 2,
        1e-3: None,
    }


def test_medians_are_drawn_on_a_logarithmic_axis_with_their_bands() -> None:
    median = np.array([1.0, 1e-2, 1e-5, 0.0])
    of_one = a_subject(trained=True)
    flow = GradientFlow("a $name$ <b>\x1b", of_one, median / 2, median, median * 2)
    drawn = gradient_flow.chart([flow, replace(flow, name="other")])
    root = ElementTree.fromstring(drawn)  # raises if it is not well-formed
    names = [one.tag.rpartition("}")[2] for one in root.iter()]
    assert (names.count("polyline"), names.count("polygon")) == (2, 2)
    assert drawn.count("stroke-dasharray") == len(gradient_flow.LIMITS)
    assert {"a $name$ <b>\N{SYMBOL FOR ESCAPE}", "other", "10\u207b\xb3", "1"} <= {
        one.text for one in root.iter()
    }


def test_a_cell_has_its_colour_and_an_untrained_one_is_dashed() -> None:
    median = np.array([1.0, 1e-2])

    def line(cell: str, *, trained: bool, other: str) -> str:
        kinds = ((other, True), (cell, trained))
        flows = [
            GradientFlow(name, a_subject(name, trained=learned), median, median, median)
            for name, learned in kinds
        ]
        words = f"{cell.upper()}, {'trained' if trained else 'untrained'}"
        drawn = gradient_flow.chart(flows)
        assert f">{words}</text>" in drawn
        return re.search(f'data-name="{words}"[^>]+(stroke="#.+?)/>', drawn)[1]  # type: ignore[index]

    assert line("gru", trained=True, other="rnn") == line("gru", trained=True, other="lstm")
    assert line("gru", trained=True, other="rnn") != line("lstm", trained=True, other="rnn")
    trained = line("gru", trained=True, other="rnn")
    assert line("gru", trained=False, other="rnn") == trained + ' stroke-dasharray="7 4"'


def test_a_network_is_drawn_beside_itself_before_training(text_file: Path) -> None:
    made = untrained(["gru", "lstm"], str(text_file), hidden=6)
    alike = [replace(made[0], name="a", trained=True), replace(made[0], name="b", trained=True)]
    for subjects in ([replace(one, trained=True) for one in made], alike):
        both = [*subjects, *map(before_training, subjects)]
        assert [one.trained for one in both] == [True, True, False, False]
        drawn = gradient_flow.chart(gradient_flow.measure(both, 8, 4))
        lines = re.findall(r'data-name="([^"]+)"[^>]+stroke="(#\w+)"([^>]*)/>', drawn)
        (first, second, *_), dashed = ([part[n] for part in lines] for n in (1, 2))
        assert [colour for _, colour, _ in lines] == [first, second] * 2
        assert first != second
        assert ["dasharray" in one for one in dashed] == [False, False, True, True]
    assert {"a", "b, untrained"} <= {name for name, _, _ in lines}
