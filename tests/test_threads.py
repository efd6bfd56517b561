"""How many threads share a product of NumPy, while grucli computes and otherwise."""

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli import evaluation, threads
from grucli.nn.backend import Backend
from grucli.nn.model import Model
from grucli.nn.stepper import Stepper
from grucli.sampling import choose_threads, product_threads
from grucli.threads import VARIABLES
from grucli.training.events import Evaluating, Event, Stepped
from grucli.training.preparation import prepare
from grucli.training.request import Request
from tests.texts import prose

SMALL: dict[str, Any] = {
    "model.hidden": 8,
    "train.batch": 4,
    "train.window": 16,
    "train.workers": 1,
    "train.steps": 4,
    "train.eval_every": 2,
    "sample.length": 12,
}


def blas_threads() -> int | None:
    return threads.blas().get("num_threads")


@pytest.fixture(autouse=True)
def _several() -> Iterator[None]:
    """The program around grucli has products shared by three threads."""
    if blas_threads() is None or threads.set_by_user():
        pytest.skip("the number of threads cannot be set here")
    with threads.blas_limited_to(3):
        yield


def test_a_limit_holds_in_its_context_alone() -> None:
    with threads.blas_limited_to(1):
        assert blas_threads() == 1
        with threads.blas_limited_to(2):
            assert blas_threads() == 2
        assert blas_threads() == 1
    assert blas_threads() == 3
    with pytest.raises(ValueError, match="x"), threads.blas_limited_to(1):
        raise ValueError("x")
    assert blas_threads() == 3


def test_contexts_end_in_any_order() -> None:
    first, second = threads.blas_limited_to(1), threads.blas_limited_to(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == 2
    second.__exit__(None, None, None)
    assert blas_threads() == 3


def test_samples_that_are_not_read_to_their_end_limit_nothing(trained: Path) -> None:
    lm = grucli.load(trained)
    some, others = iter(lm.samples(2, 5)), iter(lm.samples(16, 5))
    text = lm.stream(50)
    for iterator in (some, others, text):
        next(iterator)
        assert blas_threads() == 3
    del some
    next(others)
    assert blas_threads() == 3


def test_an_interrupt_leaves_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threads, "limit_blas", interrupt)
        with pytest.raises(KeyboardInterrupt), threads.blas_limited_to(1):
            pass
    assert len(threads._LIMITS) == 1  # of this test
    assert blas_threads() == 3


def test_what_grucli_sets_for_a_moment_is_not_the_users() -> None:
    code = (
        "import os; from grucli import threads; os.environ['OMP_NUM_THREADS'] = '1'\n"
        "assert not threads.set_by_user()"  # first asked while oneDNN is loaded
    )
    mine = {key: one for key, one in os.environ.items() if key not in VARIABLES}
    subprocess.run([sys.executable, "-c", code], env=mine, check=True)


def test_each_thread_has_several_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grucli.sampling.available_cores", lambda: 64)
    model = Model(2, 2048, 1, backend=Backend(compiled=True))
    assert [choose_threads(samples, model) for samples in (15, 16, 17, 40)] == [1, 8, 8, 20]


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "set_by_user", lambda: True)
    with threads.blas_limited_to(1):
        assert blas_threads() == 3
    threads.limit_blas(1)
    assert blas_threads() == 3


def test_training_limits_threads_while_it_computes_and_not_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")
    seen: list[tuple[str, int | None]] = []

    def watched(module: str, name: str) -> None:
        original = getattr(sys.modules[module], name)

        def watching(*arguments: Any, **named: Any) -> Any:
            seen.append((name, blas_threads()))
            return original(*arguments, **named)

        monkeypatch.setattr(f"{module}.{name}", watching)

    watched("grucli.training.step", "clip_")
    watched("grucli.training.trainer", "make_sample")
    watched("grucli.evaluation", "_groups")
    session = prepare(Request("text.txt", values=SMALL))
    events: list[Event] = []
    for event in session.events():
        events.append(event)
        assert blas_threads() == 3
    assert {type(event) for event in events} >= {Stepped, Evaluating}
    assert {name for name, _ in seen} == {"clip_", "make_sample", "_groups"}
    assert {number for _, number in seen} == {1}
    run = session.run
    assert run is not None
    assert run.info.versions["blas threads"] == "1"


def test_an_evaluation_limits_threads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, original = [], Model.score

    def watching(*arguments: Any) -> Any:
        seen.append(blas_threads())
        return original(*arguments)

    monkeypatch.setattr(Model, "score", watching)
    model = Model(7, 8, 1)
    model.initialize(np.random.default_rng(0))
    evaluation.evaluate(model, np.arange(100) % 7, 2)
    assert set(seen) == {1}
    assert blas_threads() == 3


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("count", [1, 16])
def test_sampling_chooses_its_threads_and_gives_them_back(
    count: int, compiled: bool, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    seen, original = [], Stepper.step

    def watching(*arguments: Any) -> Any:
        seen.append(blas_threads())
        return original(*arguments)

    monkeypatch.setattr(Stepper, "step", watching)
    samples = replace(grucli.load(trained), compiled=compiled).samples(count, 5, seed=1)
    list(samples)
    alone = count == 16 or samples.model.backend.compiled  # which shares products by itself
    assert set(seen) == {1 if alone else product_threads(1)}
    assert blas_threads() == 3


OPENMP = """
import ctypes, os
from concurrent.futures import ThreadPoolExecutor

os.environ["OMP_NUM_THREADS"] = "3"  # until OpenMP is loaded, as a program does before grucli
openmp = ctypes.CDLL("libgomp.so.1")
del os.environ["OMP_NUM_THREADS"]
from grucli.threads import begin_thread, blas_limited_to

def number():
    return openmp.omp_get_max_threads()

seen = [number()]
with blas_limited_to(2):
    seen.append(number())
    with blas_limited_to(1):
        seen.append(number())
    seen.append(number())
    with ThreadPoolExecutor(1, initializer=begin_thread) as pool:
        seen.append(pool.submit(number).result())
print(*seen, number())
"""


def test_openmp_is_limited_too_though_another_program_has_loaded_it() -> None:
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("there is no libgomp here")
    Path("openmp.py").write_text(OPENMP, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    environment = {**inherited, "PYTHONPATH": str(Path(grucli.__file__).parents[1])}
    command = [sys.executable, "openmp.py"]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, check=True)
    assert done.stdout.split() == ["3", "2", "1", "2", "1", "3"]


def test_the_threads_of_all_pools_begin_with_openmp_alone() -> None:
    files = Path(grucli.__file__).parent.rglob("*.py")
    # threads that share the products of a row call nothing that uses OpenMP
    sources = [path.read_text("utf-8") for path in files if path.stem != "row_products"]
    pools = [pool for source in sources for pool in re.findall(r"ThreadPoolExecutor\(.*", source)]
    assert len(pools) == 3
    assert all("initializer=begin_thread)" in pool for pool in pools)


WORKER = """
import os
from multiprocessing import get_context
from grucli.threads import blas, limit_blas

def tell(connection):
    limit_blas(1)
    connection.send(blas().get("num_threads"))

if __name__ == "__main__":
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=tell, args=(there,))
    process.start()
    print(here.recv())
    process.join()
"""


@pytest.mark.parametrize(("told", "threads"), [(None, "1"), ("2", "2")])
def test_a_worker_limits_threads_after_numpy_was_imported(told: str | None, threads: str) -> None:
    Path("worker.py").write_text(WORKER, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    environment = {**inherited, "PYTHONPATH": str(Path(grucli.__file__).parents[1])}
    if told:
        environment["OPENBLAS_NUM_THREADS"] = told
    made = subprocess.run(
        [sys.executable, "worker.py"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert made.stdout.strip() == threads


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, 8),
        ({"": "max 100000"}, 8),
        ({"": "100000 100000"}, 1),
        ({"": "150000 100000"}, 2),  # 1.5 cores: two threads use them best
        ({"": "20000 100000"}, 1),
        ({"a/b": "300000 100000"}, 3),
        ({"a": "200000 100000", "a/b": "300000 100000"}, 2),
        ({"a/other": "100000 100000"}, 8),
        ({"": "nonsense"}, 8),
    ],
)
def test_the_quota_of_a_container_counts(
    limits: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(limit + "\n")
    membership = tmp_path / "cgroup"
    membership.write_text("12:cpuset:/other\n0::/a/b\n")
    monkeypatch.setattr(threads, "CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "MEMBERSHIP", membership)
    monkeypatch.setattr(threads, "own_cores", lambda: list(range(8)))
    threads.cpu_quota.cache_clear()
    try:
        assert threads.available_cores() == cores
    finally:
        threads.cpu_quota.cache_clear()
