"""The routes of the gradient: their sums, their compositions, their numbers."""

import numpy as np
import pytest

from grucli.analysis import gradient_routes
from grucli.errors import CorpusError
from grucli.nn.cells import CELLS, Cell
from grucli.nn.gradcheck import toy
from grucli.nn.model import Model


def past(cell: str, distance: int, scale: float = 1.0) -> gradient_routes.History:
    model, _ = toy(V=7, H=5, L=2, T=2, B=2, dropout=0.0, seed=0, cell=cell)
    model.params.flat *= scale
    ids = np.random.default_rng(1).integers(0, 7, (distance + 4, 3))
    return gradient_routes.look_back(model, ids, distance)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_sum_of_the_routes_is_the_backward_pass(cell: str, scale: float) -> None:
    looked = past(cell, 12, scale)
    *_, last = looked.gradients()
    error = np.linalg.norm(last - looked.by_backward)
    assert error <= 1e-12 * np.linalg.norm(looked.by_backward)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_sum_over_all_compositions_is_the_gradient(cell: str, k: int) -> None:
    looked = past(cell, k)
    followed = dict(looked.follow(k))
    assert len(followed) == gradient_routes.count(CELLS[cell], k)
    for composition in followed:
        assert [route.start for route in composition] == [
            "h",
            *(route.end for route in composition[:-1]),
        ]
    error = np.linalg.norm(sum(followed.values()) - looked.by_backward)
    assert error <= 1e-10 * np.linalg.norm(looked.by_backward)


def test_the_numbers_of_routes() -> None:
    for cell in ("gru", "gru-after"):
        assert [gradient_routes.count(CELLS[cell], k) for k in range(1, 5)] == [4, 16, 64, 256]
    assert [gradient_routes.count(CELLS["rnn"], k) for k in range(1, 5)] == [1, 1, 1, 1]
    assert [gradient_routes.count(CELLS["lstm"], k) for k in range(3)] == [1, 5, 24]


LEFT_OUT = [
    pytest.param(cell, number, id=f"{cell}: {route.name} from {route.start}")
    for cell, module in CELLS.items()
    for number, route in enumerate(module.ROUTES)
]


@pytest.mark.parametrize(("cell", "number"), LEFT_OUT)
def test_leaving_out_a_route_is_noticed(
    cell: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = CELLS[cell].ROUTES
    kind = type(CELLS[cell])
    fewer: Cell = type("Fewer", (kind,), {"ROUTES": declared[:number] + declared[number + 1 :]})()
    before = gradient_routes.count(CELLS[cell], 2)
    monkeypatch.setitem(CELLS, cell, fewer)
    looked = past(cell, 2)
    *_, last = looked.gradients()
    error = np.linalg.norm(last - looked.by_backward)
    assert error > 1e-6 * np.linalg.norm(looked.by_backward)
    assert gradient_routes.count(fewer, 2) < before


def test_the_gradient_looked_at_is_that_of_the_last_prediction() -> None:
    """Against central differences of the loss with respect to a state in the middle."""
    model, _ = toy(V=7, H=5, L=1, T=2, B=2, dropout=0.0, seed=0, cell="lstm")
    ids = np.random.default_rng(1).integers(0, 7, (9, 3))
    looked = gradient_routes.look_back(model, ids, 4)
    _, state = model.run(ids[:4], model.zero_state(3), model.workspace(4, 3))

    def loss(state: np.ndarray) -> float:
        log_probs, _, _ = model.score(ids[4:8], ids[5:], state, model.workspace(4, 3))
        return -float(log_probs[-1].sum())

    for place in [(0, 0, 1), (0, 2, 7)]:
        step = np.zeros_like(state)
        step[place] = 1e-5
        numeric = (loss(state + step) - loss(state - step)) / 2e-5
        assert looked.by_backward[place[1:]] == pytest.approx(numeric, rel=1e-6)


def test_it_works_on_a_trained_models_precision() -> None:
    model = Model(7, 6, 1, np.float32)
    model.initialize(np.random.default_rng(0))
    looked = gradient_routes.look_back(model.astype(np.float64), np.zeros((5, 2), np.intp), 3)
    assert looked.by_backward.shape == (2, 6)


def test_windows_are_spread_over_the_text_and_end_in_what_is_predicted() -> None:
    windows = gradient_routes.windows_before(np.arange(1000), 10, positions=4)
    assert windows.shape == (10 + gradient_routes.WARM_UP + 1, 4)
    assert windows[0, 0] == 0
    assert windows[-1, -1] == 999
    assert (np.diff(windows, axis=0) == 1).all()


def test_a_text_just_long_enough_will_do_and_a_shorter_one_is_refused() -> None:
    assert gradient_routes.windows_before(np.arange(11), 10, positions=4).shape == (11, 1)
    with pytest.raises(CorpusError, match="the text has 10 characters; to look 10 steps back"):
        gradient_routes.windows_before(np.arange(10), 10, positions=4)
