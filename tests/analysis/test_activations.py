from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import activations
from grucli.analysis.subject import of_run
from grucli.errors import UsageError
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.stepper import Stepper


@pytest.mark.parametrize("cell", CELLS)
def test_a_trace_is_what_the_model_does_character_by_character(cell: str) -> None:
    model = Model(7, 5, 2, np.float64, cell)
    model.initialize(np.random.default_rng(0))
    model.params.flat += np.random.default_rng(1).normal(0, 0.3, model.params.flat.shape)
    ids = np.random.default_rng(2).integers(0, 7, activations.WINDOW + 9)
    top, first = activations.trace(model, ids, 2), activations.trace(model, ids, 1)
    stepper = Stepper(model, 1)
    logits = model.output(model.params).b_c[None]  # a state of zeros
    for position, x in enumerate(ids):
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert top.bits[position] == pytest.approx(-np.log2(p[0, x]))
        logits = stepper.step(np.array([x]))
        np.testing.assert_allclose(first.h[position], stepper.state[0, 0, :5], atol=1e-12)
        np.testing.assert_allclose(top.h[position], stepper.state[1, 0, :5], atol=1e-12)


def test_structures_of_a_text() -> None:
    assert activations.inside_quotes('a "b" c') == [0, 0, 1, 1, 0, 0, 0]
    assert activations.inside_quotes('"a\n\nb') == [1, 1, 1, 0, 0]
    assert activations.inside_quotes("\u201ca\u201d.") == [1, 1, 0, 0]
    assert activations.inside_brackets("a(b[c])d)e(") == [0, 1, 1, 2, 2, 1, 0, 0, 0, 0, 1]
    assert activations.position_in_line("ab\nc") == [1, 2, 0, 1]
    assert activations.position_in_word("ab, c") == [1, 2, 0, 0, 1]
    assert activations.after_a_capital("aBc d") == [0, 1, 1, 0, 0]
    assert activations.indentation("  a b\n\tc") == [1, 2, 2, 2, 2, 0, 1, 1]
    assert activations.line_in_paragraph("a\nb\n\nc") == [0, 1, 1, 2, 0, 0]


def test_the_unit_that_follows_a_structure_is_found() -> None:
    text = "x(yz)w" * 30
    rng = np.random.default_rng(0)
    h = rng.normal(size=(len(text), 8))
    h[:, 3] = -np.array(activations.inside_brackets(text)) + 0.1 * rng.normal(size=len(text))
    h[:, 5] = 0.25  # a unit that does nothing
    found = activations.correlations(h, text, top=2)
    best = next(tie for tie in found if tie.feature == "inside brackets")
    assert best.unit == 3
    assert best.correlation < -0.95
    assert all(np.isfinite(tie.correlation) for tie in found)
    assert "inside quotes" not in {tie.feature for tie in found}  # the text has none


def test_a_reading_is_coloured_by_a_unit_or_by_surprisal(trained: Path) -> None:
    subject = of_run(trained)
    reading = activations.read(subject, length=50)
    text = subject.vocabulary.decode(subject.ids[:50]).decode()
    assert (reading.layer, "".join(reading.characters)) == (1, text)
    unit, surprisal = reading.unit(3), reading.surprisal()
    np.testing.assert_array_equal(unit.values, reading.trace.h[:, 3])
    np.testing.assert_array_equal(surprisal.values, reading.trace.bits)
    assert unit.full == max(map(abs, unit.values))
    assert len({one.feature for one in reading.correlations(top=1)}) >= 2
    for ask, message in (
        (lambda: reading.unit(12), "units are numbered 0 to 11"),
        (lambda: activations.read(subject, layer=2), "layers are numbered 1 to 1"),
        (lambda: activations.read(subject, length=1), "too short"),
    ):
        with pytest.raises(UsageError, match=message):
            ask()
