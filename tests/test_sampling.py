import tracemalloc
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli import compilation, sampling
from grucli.data.vocabulary import Vocabulary
from grucli.evaluation import Stopped
from grucli.nn.backend import NUMPY, Backend, select
from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.sampling import (
    HELD,
    SIDE_BY_SIDE,
    Sampler,
    Samples,
    StopFilter,
    read_prompt,
    side_by_side,
)
from grucli.threads import blas_limited_to

COMPILES = compilation.why_not_used("gru") is None and find_spec("numba") is not None


@pytest.fixture(params=[False, *[True] * COMPILES])
def model(request: pytest.FixtureRequest) -> Model:
    model = Model(6, 8, 2, backend=Backend(compiled=request.param))
    rng = np.random.default_rng(0)
    model.initialize(rng)
    model.params.flat += rng.normal(0, 0.3, model.params.flat.shape).astype(np.float32)
    return model


COUNTS = np.array([5, 3, 0, 1, 1, 1])
NO_PROMPT, PROMPT = np.zeros(0, np.intp), np.array([3, 4, 5])
PRODUCTS = [NUMPY, *{select("auto", "float32")} - {NUMPY}]
AVAILABLE = [*PRODUCTS, *[backend._replace(compiled=True) for backend in PRODUCTS] * COMPILES]


def frequencies(sampler: Sampler, p: list[float], draws: int = 20_000) -> np.ndarray:
    rows = np.log(np.array(p))[None].repeat(draws, axis=0)
    ids = sampler.draw(rows, np.random.default_rng(0).random(draws))
    return np.bincount(ids, minlength=len(p)) / draws


P = [0.5, 0.3, 0.15, 0.05]


def test_draws_follow_the_distribution() -> None:
    np.testing.assert_allclose(frequencies(Sampler(), P), P, atol=0.01)


def test_temperature_sharpens_and_flattens() -> None:
    squared = np.array(P) ** 2 / np.sum(np.array(P) ** 2)
    np.testing.assert_allclose(frequencies(Sampler(0.5), P), squared, atol=0.01)
    np.testing.assert_array_equal(frequencies(Sampler(0.0), P), [1, 0, 0, 0])
    np.testing.assert_array_equal(frequencies(Sampler(1e-6), P), [1, 0, 0, 0])


def test_top_k_and_top_p_cut_the_tail() -> None:
    np.testing.assert_allclose(frequencies(Sampler(top_k=2), P), [0.625, 0.375, 0, 0], atol=0.01)
    np.testing.assert_allclose(frequencies(Sampler(top_p=0.79), P), [0.625, 0.375, 0, 0], atol=0.01)
    np.testing.assert_array_equal(frequencies(Sampler(top_p=0.1), P), [1, 0, 0, 0])
    np.testing.assert_allclose(frequencies(Sampler(top_k=9, top_p=1.0), P), P, atol=0.01)


@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0.01, 5) | st.sampled_from([5e-324, 1e-40, 1e46, 1e308]),
)
def test_a_draw_is_always_a_character_of_positive_probability(u: float, temperature: float) -> None:
    with np.errstate(all="ignore"):
        log_y = log_softmax(np.array([[-np.inf, 1.0, -np.inf, 0.0, -np.inf]], np.float32))
    assert Sampler(temperature).draw(log_y, np.array([u]))[0] in (1, 3)


@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_min=True) | st.sampled_from([5e-324, 1e-300, 1e-46, 1e-38, 1e-8]),
    st.sampled_from([1, 2, 5, 10**30]),
    st.sampled_from([1, 3]),
)
def test_any_top_p_and_top_k_leave_a_character_to_draw(
    u: float, top_p: float, top_k: int, rows: int
) -> None:
    logits = np.tile(np.array([[-90.0, 1.0, -0.5, 1.0, -30.0]], np.float32), (rows, 1))
    sampler = Sampler(1.0, top_k, top_p)
    for drawn in (sampler.draw(logits, np.full(rows, u)), *compiled_draws(sampler, logits, u)):
        assert set(drawn) <= set(range(5))
        if top_p < 0.4:
            assert set(drawn) <= {1, 3}


def test_a_top_p_of_one_leaves_all_characters() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (200, 300)).astype(np.float32)
    uniform = np.full(200, np.nextafter(1.0, 0.0))
    drawn = [Sampler(top_p=p).draw(logits, uniform) for p in (1.0, None)]
    np.testing.assert_array_equal(*drawn)


def compiled_draws(sampler: Sampler, logits: np.ndarray, *uniform: float) -> list[np.ndarray]:
    """What compiled code draws, if there is any."""
    if not COMPILES:
        return []
    from grucli.nn.compiled.sampler import CompiledStepper

    N, model = len(logits), Model(logits.shape[1], 1, 1, cell="rnn")
    stepper = CompiledStepper(model, N, model.packed(N, backward=False))
    stepper.begin(logits, model.zero_state(N))
    shares = np.array(uniform) if len(uniform) == N else np.full(N, uniform[0])
    return list(stepper.sample(sampler, shares[None])[0])


@pytest.mark.skipif(not COMPILES, reason="there is no Numba")
@pytest.mark.parametrize("V", [1, 5, 70])
@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(),
        Sampler(0.5),
        Sampler(0.0),
        Sampler(0.0, never=0),
        Sampler(1e-6),
        Sampler(1e9),
        Sampler(top_k=3),
        Sampler(0.7, top_k=40, top_p=0.9),
        Sampler(top_p=0.3, never=2),
        Sampler(top_p=1.0),
    ],
    ids=str,
)
def test_compiled_code_draws_the_same_characters(V: int, sampler: Sampler) -> None:
    if sampler.never is not None and sampler.never >= V - 1:
        pytest.skip("there is nothing else to choose")
    rng = np.random.default_rng(V)
    logits, uniform = rng.normal(0, 3, (500, V)).astype(np.float32), rng.random(500)
    logits[:50, V // 2] = -np.inf if V > 1 else 0
    (drawn,) = compiled_draws(sampler, logits, *uniform)
    assert (drawn == sampler.draw(logits, uniform)).mean() > 0.995


def samples_of(model: Model, prompt: np.ndarray, **settings: Any) -> Samples:
    vocabulary = Vocabulary(np.arange(97, 103))
    return Samples(model, vocabulary, COUNTS, prompt, b"", 1, **settings)


def all_of(samples: Samples, *arguments: int, **options: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids and log probabilities of all characters, (length, samples)."""
    ids, log_probs = zip(*samples.bursts(*arguments, **options), strict=True)
    return np.concatenate(ids), np.concatenate(log_probs)


def test_a_seed_repeats_a_sample_and_evaluating_together_changes_nothing(model: Model) -> None:
    settings = {"length": 12, "sampler": Sampler(1.0), "seed": 3}
    samples = samples_of(model, NO_PROMPT, **settings)
    alone = samples.ids()
    np.testing.assert_array_equal(alone, samples.ids())
    together, _ = all_of(samples, 3)
    np.testing.assert_array_equal(together[:, 0], alone)
    assert len({tuple(column) for column in together.T}) == 3


def test_later_samples_can_be_made_by_themselves(model: Model) -> None:
    settings = {"length": 12, "sampler": Sampler(1.0), "seed": 3}
    samples = samples_of(model, NO_PROMPT, **settings)
    together, _ = all_of(samples, 5)
    later, _ = all_of(samples, 2, first=3)
    np.testing.assert_array_equal(together[:, 3:], later)


@pytest.mark.parametrize("length", [0, 1, 500, 10_000, HELD, 10**30])
@pytest.mark.parametrize("samples", [1, 2, 1000, 10**30])
def test_what_is_made_side_by_side_is_bounded(samples: int, length: int) -> None:
    size = side_by_side(samples, length)
    assert 1 <= size <= min(samples, SIDE_BY_SIDE)
    assert size == 1 or size * length <= HELD


def test_a_sample_without_end_can_be_stopped_and_takes_no_memory(model: Model) -> None:
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == 300

    samples_of(model, NO_PROMPT, length=9, sampler=Sampler(), seed=1).ids()  # loads compiled code
    tracemalloc.start()
    with pytest.raises(Stopped):
        samples_of(model, NO_PROMPT, length=10**18, sampler=Sampler(), seed=1).ids(stop)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
    assert len(asked) == 300


def test_reading_a_prompt_can_be_stopped(model: Model) -> None:
    asked: list[None] = []
    with pytest.raises(Stopped):
        samples_of(model, np.zeros(10_000, np.intp), length=1, sampler=Sampler(), seed=1).ids(
            lambda: asked.append(None) is None and len(asked) == 2
        )
    assert len(asked) == 2


def test_without_a_prompt_the_first_character_follows_the_corpus(model: Model) -> None:
    samples = samples_of(model, NO_PROMPT, length=1, sampler=Sampler(1.0), seed=0)
    (ids,), (log_probs,) = all_of(samples, 4000)
    np.testing.assert_allclose(np.bincount(ids, minlength=6) / 4000, COUNTS / 11, atol=0.03)
    np.testing.assert_allclose(log_probs, np.log(COUNTS[ids] / 11), rtol=1e-6)


def test_log_probabilities_are_those_of_the_model(model: Model) -> None:
    prompt = np.array([0, 3, 1])
    ids, log_y = all_of(samples_of(model, prompt, length=5, sampler=Sampler(0.7), seed=1))
    text = np.concatenate([prompt, ids[:, 0]])[:, None]
    log_probs, _, _ = model.score(text[:-1], text[1:], model.zero_state(1), model.workspace(7, 1))
    np.testing.assert_allclose(log_y, log_probs[2:], rtol=1e-4)


def test_threads_change_nothing(model: Model) -> None:
    samples = samples_of(model, NO_PROMPT, length=40, sampler=Sampler(1.0), seed=3)
    ids, log_probs = all_of(samples, 7)
    shared_ids, shared_log_probs = all_of(samples, 7, threads=3)
    np.testing.assert_array_equal(ids, shared_ids)
    np.testing.assert_allclose(log_probs, shared_log_probs, atol=1e-5)


def test_the_state_reads_the_whole_of_a_long_prompt(model: Model) -> None:
    prompt = np.random.default_rng(0).integers(0, 6, 300)
    _, state = read_prompt(model, prompt)
    _, whole = model.run(prompt[:, None], model.zero_state(1), model.workspace(300, 1))
    np.testing.assert_allclose(state, whole, atol=1e-6)  # products of other sizes round otherwise
    _, tail = model.run(prompt[-9:, None], model.zero_state(1), model.workspace(9, 1))
    assert not np.allclose(tail, whole, atol=1e-6)


def test_top_k_keeps_k_characters_even_among_equals() -> None:
    drawn = frequencies(Sampler(top_k=2), [0.25] * 4)
    assert np.count_nonzero(drawn) == 2


def filtered(text: bytes, *stops: bytes, size: int = 1) -> tuple[bytes, bool]:
    stream = StopFilter(stops)
    passed = b"".join(stream.add(text[i : i + size]) for i in range(0, len(text), size))
    return passed + stream.end(), stream.stopped


def test_a_stop_string_ends_the_text_before_it() -> None:
    assert filtered(b"one\ntwo", b"\n") == (b"one", True)
    assert filtered(b"one END two", b"END", b"two") == (b"one ", True)
    assert filtered(b"one EN two", b"END") == (b"one EN two", False)
    assert filtered(b"ababac", b"abac") == (b"ab", True)
    assert filtered(b"anything") == (b"anything", False)


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_stop_filters_agree_with_a_search(text: str, stops: list[str]) -> None:
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    first_end = min(ends, default=None)
    each = [filtered(text.encode(), *map(str.encode, stops), size=size) for size in (1, 3, 20)]
    assert each[0] == each[1] == each[2]
    passed, stopped = each[0]
    assert stopped == (first_end is not None)
    if first_end is None:
        assert passed.decode() == text
    else:
        ending = [stop for stop in stops if text[:first_end].endswith(stop)]
        assert passed.decode() == text[: first_end - max(map(len, ending))]


@pytest.mark.parametrize("backend", AVAILABLE, ids=str)
@pytest.mark.parametrize(("cell", "H"), [("gru", 64), ("lstm", 256), ("gru", 512)])
def test_samples_depend_neither_on_threads_nor_on_their_number(
    backend: Backend, cell: str, H: int
) -> None:
    model = Model(40, H, 2, cell=cell, backend=backend)
    model.initialize(np.random.default_rng(0))
    model.params["output.W_hc"][:] *= 50
    sampled = samples_of(model, PROMPT, length=6, sampler=Sampler(1.0), seed=5)

    def made(samples: int, threads: int, shared: int) -> list[bytes]:
        with blas_limited_to(shared):
            ids, log_probs = all_of(sampled, samples, threads=threads)
        return [ids[:, n].tobytes() + log_probs[:, n].tobytes() for n in range(samples)]

    one = made(1, 1, 1)
    assert one == made(1, 1, 2) == made(1, 1, 4)
    many = made(80, 1, 1)
    for samples, threads in product((16, 48, 80), (1, 2, 4)):
        for _ in range(3):
            again = made(samples, threads, 1)
            assert again == many[:samples], (samples, threads)


def test_bursts_are_bounded_in_memory_and_in_work(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_of(model, NO_PROMPT, length=40, sampler=Sampler(), seed=1)
    whole, _ = all_of(samples, 2)
    for name, of_one in (("AT_ONCE", 2 * model.V), ("WORK", 2 * model.params.flat.size)):
        with monkeypatch.context() as patched:
            patched.setattr(sampling, name, 7 * of_one)
            bursts = [ids for ids, _ in samples.bursts(2)]
        assert [len(ids) for ids in bursts] == [7, 7, 7, 7, 7, 5]
        np.testing.assert_array_equal(np.concatenate(bursts), whole)
