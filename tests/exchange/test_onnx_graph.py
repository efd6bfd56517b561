"""The graph as onnxruntime computes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import RunError
from grucli.exchange import onnx_graph
from tests.exchange.models import CELLS, VOCABULARIES, log_probs, make_run, text_of
from tests.texts import prose

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZES = [(cell, layers) for cell in CELLS for layers in (1, 2)] + [("gru", 3)]


def session_of(path: Any) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def states(session: Any, B: int = 1) -> list[Any]:
    return [
        np.zeros((one.shape[0], B, one.shape[2]), np.float32) for one in session.get_inputs()[1:]
    ]


def feed(session: Any, ids: Any, state: Any) -> Any:
    names = [one.name for one in session.get_inputs()]
    logits, *after = session.run(None, dict(zip(names, [ids, *state], strict=True)))
    return logits, after


@pytest.mark.parametrize(("cell", "layers"), SIZES)
@pytest.mark.parametrize("kind", VOCABULARIES)
def test_it_scores_and_streams_as_this_program(cell: str, layers: int, kind: str) -> None:
    run = make_run(cell, layers, kind)
    made = grucli.export(run.path, "onnx")
    assert made.compared is not None
    assert made.compared.difference < 5e-6
    session, (x, targets, own) = session_of(made.path), text_of(run, 200)
    logits, last = feed(session, x, states(session))
    np.testing.assert_allclose(log_probs(logits, targets), own, atol=1e-5)
    state, single = states(session), []
    for t in range(len(x)):
        logits, state = feed(session, x[t : t + 1], state)
        single.append(log_probs(logits, targets[t : t + 1]))
    np.testing.assert_allclose(np.concatenate(single), own, atol=1e-5)
    for one, other in zip(state, last, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_several_streams_of_a_list_begin_anew_each_for_itself() -> None:
    run = make_run("lstm", 2, "lines")
    session, model = session_of(grucli.export(run.path, "onnx").path), run.lm.model
    ids = np.random.default_rng(3).integers(0, model.V, (50, 4))
    x, targets = ids[:-1], ids[1:]
    own, *_ = model.score(x, targets, model.zero_state(4), model.workspace(49, 4))
    logits, _ = feed(session, x, states(session, 4))
    np.testing.assert_allclose(log_probs(logits, targets), own, atol=1e-5)


def test_the_file_says_what_it_is() -> None:
    run = make_run("lstm", 1, "odd")
    graph = onnx.load(grucli.export(run.path, "onnx").path)
    metadata = {one.key: one.value for one in graph.metadata_props}
    assert json.loads(metadata["vocabulary"]) == VOCABULARIES["odd"]
    assert json.loads(metadata["meta"])["settings"]["model"]["cell"] == "lstm"
    assert [one.name for one in graph.graph.input] == ["ids", "h_0", "c_0"]
    assert [one.name for one in graph.graph.output] == ["logits", "h_T", "c_T"]
    assert graph.producer_version == grucli.__version__


@pytest.mark.parametrize(("weights", "bytes_each"), [("float16", 2), ("int8", 1)])
@pytest.mark.parametrize("kind", ["text", "lines"])
def test_rounded_weights_need_less_space_and_their_loss_is_measured(
    weights: onnx_graph.Weights, bytes_each: int, kind: str
) -> None:
    run = make_run("gru", 2, kind)
    made = grucli.export(run.path, "onnx", "small.onnx", weights=weights)
    graph = onnx.load(made.path)
    stored = [one for one in graph.graph.initializer if one.name.endswith("_stored")]
    assert len(stored) == 5
    assert all(len(one.raw_data) == bytes_each * np.prod(one.dims) for one in stored)
    assert made.compared is not None
    assert 0 < abs(made.compared.loss - made.compared.own_loss) < 0.05
    session, (x, targets, own) = session_of(made.path), text_of(run, 100)
    logits, _ = feed(session, x, states(session))
    np.testing.assert_allclose(log_probs(logits, targets), own, atol=0.3)


def test_a_graph_that_computes_other_numbers_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run("gru-after")
    monkeypatch.setitem(onnx_graph.NODES, "gru-after", onnx_graph.NODES["gru"])
    with pytest.raises(RunError, match="is not written, since it computes other numbers"):
        grucli.export(run.path, "onnx")
    assert not (run.path / "model.onnx").exists()


def test_it_is_compared_on_the_validation_text(trained: Path) -> None:
    compared = grucli.export(trained, "onnx", "m.onnx").compared
    assert compared is not None
    own = grucli.load(trained).evaluate(prose(4000)[3600:])
    assert compared.symbols == own.chars == 399
    assert compared.own_loss == pytest.approx(own.loss, rel=1e-4)
