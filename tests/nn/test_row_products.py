"""Products of a single row, shared among threads."""

import threading

import numpy as np
import pytest

from grucli.nn import calls

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def share_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from grucli.nn.compiled import row_products

    monkeypatch.setattr(row_products, "SHARED", 0)


def run(rows: list[calls.Calls], times: int = 1) -> None:
    from grucli.nn.compiled.loop import run

    def loop(*some: np.ndarray) -> None:
        for each in some:
            run(each, 0)

    for _ in range(times):
        calls.execute(loop, rows)


@pytest.mark.parametrize(
    ("G", "K", "N"), [(1, 1, 1), (1, 3, 64), (2, 64, 128), (3, 70, 65), (4, 129, 200), (1, 5, 1000)]
)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_products_are_those_of_numpy(G: int, K: int, N: int, threads: int) -> None:
    from grucli.nn.compiled.row_products import Row, Team

    rng = np.random.default_rng(0)
    W = rng.normal(size=(G, K, N)).astype(np.float32)
    x, team = np.empty((1, 1, K), np.float32), Team(threads)
    parts = [slice(0, 1), slice(0, G)]
    outs = [np.full((len(W[part]), 1, N), np.nan, np.float32) for part in parts]
    rows = [Row(W, team)[part].calls(x, out) for part, out in zip(parts, outs, strict=True)]
    for _ in range(2):
        x[:] = rng.normal(size=x.shape)
        with team.at_work():
            run(rows)
        for part, out in zip(parts, outs, strict=True):
            np.testing.assert_allclose(out, x[0] @ W[part], rtol=1e-5, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bits_at_every_time() -> None:
    """Each product reads the result of the one before, as in a network, in thousands of turns."""
    from grucli.nn.compiled.row_products import Team

    K, turns = 320, 1500
    W = np.random.default_rng(0).normal(size=(2, 2, K, K)).astype(np.float32)
    W /= np.float32(np.sqrt(K))
    results = set()
    for threads in (1, 2, 3, 2, 8, 2):  # also more than there are cores
        there, back = np.ones((2, 2, 1, K), np.float32)
        team = Team(threads)
        rows = [team.calls(W[0], there[:1], back), team.calls(W[1, :1], back[:1], there[:1])]
        with team.at_work():
            run(rows, turns)
            results.add(there.tobytes() + back.tobytes())
        with team.at_work():  # as in the next burst
            run(rows, 3)
    assert len(results) == 1


def test_an_error_ends_the_other_threads() -> None:
    from grucli.nn.compiled.row_products import Team

    team, x, out = Team(3), np.ones((1, 1, 8), np.float32), np.ones((1, 1, 8), np.float32)
    before = set(threading.enumerate())
    rows = team.calls(np.ones((1, 8, 8), np.float32), x, out)
    with pytest.raises(KeyboardInterrupt), team.at_work():
        raise KeyboardInterrupt
    with team.at_work():
        run([rows])
    assert (out == 8).all()
    started = set(threading.enumerate()) - before
    del rows, team  # its pool ends with it
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


def test_without_another_thread_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from grucli.nn.compiled.row_products import Team

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    team, x, out = Team(2), np.ones((1, 1, 8), np.float32), np.ones((1, 1, 70), np.float32)
    rows = team.calls(np.ones((1, 8, 70), np.float32), x, out)
    with team.at_work():
        run([rows])
    assert (out == 8).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_sample_does_not_depend_on_the_threads(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grucli import sampling
    from grucli.data.vocabulary import Vocabulary
    from grucli.language_model import LanguageModel
    from grucli.nn.model import Model

    model = Model(20, 96, 2, cell=cell)
    model.initialize(np.random.default_rng(0))
    lm = LanguageModel(model, Vocabulary(np.arange(65, 85)), np.ones(20, int), compiled=True)
    texts = set()
    for threads in (1, 2, 3, 2):
        monkeypatch.setattr(sampling, "product_threads", lambda samples, n=threads: n)
        texts |= {lm.sample(700, seed=1), "".join(lm.sample(700, seed=1, stop=["nothing"]))}
    assert len(texts) == 1
