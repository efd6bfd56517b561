"""Training from scripts and notebooks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import UsageError
from grucli.files import sha256
from grucli.run.run import Run, runs
from grucli.training.api import train, train_events
from grucli.training.events import Evaluated, Finished, Saved, Started, Stepped
from grucli.training.preparation import prepare
from grucli.training.request import Request
from tests.conftest import Grucli
from tests.texts import prose

SMALL: dict[str, Any] = {
    "model.hidden": 8,
    "train.batch": 4,
    "train.window": 16,
    "train.workers": 1,
    "train.eval_every": 10,
    "train.log_every": 5,
    "sample.length": 12,
}


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("diary.txt").write_text(prose(4000), encoding="utf-8")


def small(**others: Any) -> Run:
    return train("diary.txt", **{"steps": 20, "settings": SMALL, **others})


def last(run: Run) -> str:
    return sha256(Run(run.path).checkpoints.find("last"))


def test_training_prints_nothing_and_does_what_the_command_does(
    grucli: Grucli, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = small(seed=3, name="mine", runs_dir="here")
    assert capfdbinary.readouterr() == (b"", b"")
    assert run.path.parent == Path("here")
    assert run.path.name.endswith("-mine")
    assert (run.status, run.settings.train.steps, run.settings.train.seed) == ("done", 20, 3)
    sets = [f"--set={key}={value}" for key, value in SMALL.items()]
    result = grucli("train", "diary.txt", "--steps", 20, "--seed", 3, "-q", *sets)
    assert last(Run(result.out.strip())) == last(run)


def test_events_go_from_started_to_finished() -> None:
    events = list(train_events("diary.txt", steps=20, settings=SMALL))
    started, *between, finished = events
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert finished.complete
    assert started.path == finished.run.path
    assert [event.step for event in between if isinstance(event, Stepped)] == [*range(1, 21)]
    started = next(iter(train_events("diary.txt", steps=1, settings=SMALL | {"train.batch": 99})))
    assert isinstance(started, Started)
    (told,) = started.notes
    assert "instead of 99 x" in told


def test_what_makes_no_sense_is_an_error_of_grucli_and_writes_nothing() -> None:
    for words, problem in [
        ({"steps": 5, "settings": SMALL | {"train.steps": 6}}, "train.steps is given by settings"),
        ({"settings": {"model.hiden": 5}}, "settings: unknown key model.hiden"),
        ({"unknown": "skip"}, "can only be used with --init-from"),
        ({"init_from": "nowhere"}, "there is no such run"),
        ({"resume": "nowhere"}, "there is no such run"),
        ({"resume": "nowhere", "name": "x"}, "are for a new run"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    ]:
        with pytest.raises(UsageError, match=problem):
            train("diary.txt", **words)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown must be 'error' or 'skip', not 'no'"):
        train("diary.txt", init_from="x", unknown="no")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="name a text"):
        train()
    assert os.listdir() == ["diary.txt"]


def test_settings_may_come_from_a_file_and_be_numbers_of_numpy() -> None:
    Path("s.yaml").write_text("model: {hidden: 9}\ntrain: {batch: 2}\n", encoding="utf-8")
    run = small(config="s.yaml", settings=SMALL | {"model.hidden": np.int64(7)}, steps=np.int64(2))
    assert (run.settings.model.hidden, run.settings.train.batch) == (7, 4)
    assert "model.hidden: 7" in (run.path / "overrides.yaml").read_text()


@pytest.mark.parametrize("leave", ["close", "break"])
def test_leaving_the_loop_is_a_stop(leave: str) -> None:
    whole = small()
    events = train_events("diary.txt", steps=20, settings=SMALL)
    for event in events:
        if isinstance(event, Stepped) and event.step == 13:
            break
    if leave == "close":
        events.close()  # type: ignore[attr-defined]
    del events
    stopped = runs()[0]
    assert (stopped.status, stopped.info.step) == ("interrupted", 13)
    again = train(resume=stopped.path)
    assert again.path == stopped.path
    assert last(again) == last(whole)


def test_functions_follow_and_stop_a_run() -> None:
    whole, seen = small(), list[Any]()

    def stop() -> bool:
        return isinstance(seen[-1], Stepped) and seen[-1].step == 13

    stopped = small(on_event=seen.append, stop=stop)
    assert isinstance(seen[0], Started)
    assert (stopped.status, stopped.info.step) == ("interrupted", 13)
    again = train(resume=stopped.path, on_event=seen.append)
    assert isinstance(seen[-1], Finished)
    assert last(again) == last(whole)


@pytest.mark.parametrize("kind", [Started, Saved])
def test_the_loop_may_be_left_at_any_event(kind: type) -> None:
    for event in train_events("diary.txt", steps=20, settings=SMALL):
        if isinstance(event, kind):
            break
    assert runs()[0].status == "interrupted"
    assert train(resume=runs()[0].path).status == "done"


def test_an_interrupt_inside_a_step_saves_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    events = train_events("diary.txt", steps=20, settings=SMALL)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes from one of the events
        for event in events:
            if isinstance(event, Stepped) and event.step == 13:
                monkeypatch.setattr("grucli.training.step.clip_", interrupt)
    (run,) = runs()
    assert (run.status, run.info.step) == ("interrupted", 10)


def interrupt(*_: object) -> float:
    raise KeyboardInterrupt


def test_a_run_starts_from_the_weights_of_another() -> None:
    first = small()
    Path("other.txt").write_text(prose(4000, seed=5) + "Ω", encoding="utf-8")
    with pytest.raises(UsageError, match="OMEGA"):
        train("other.txt", steps=5, settings=SMALL, init_from=first.path)
    other = {"steps": 5, "settings": {"train.batch": 4, "train.window": 16, "train.workers": 1}}
    skipped = train("other.txt", init_from=first.path, unknown="skip", **other)  # type: ignore[arg-type]
    longer = train("other.txt", init_from=first.path, extend_vocabulary=True, **other)  # type: ignore[arg-type]
    assert skipped.info.corpus.skipped == 1
    assert longer.info.corpus.symbols == (first.info.corpus.symbols or 0) + 1


def test_the_callers_warnings_stay_as_they_are() -> None:
    for event in train_events("diary.txt", steps=2, settings=SMALL):
        with pytest.raises(FloatingPointError):
            np.float64(1) / np.float64(0)
        del event


def test_planning_makes_no_weights(monkeypatch: pytest.MonkeyPatch, grucli: Grucli) -> None:
    def initialize(*_: object) -> None:
        raise AssertionError("weights were initialized")

    monkeypatch.setattr("grucli.nn.model.Model.initialize", initialize)
    assert grucli("train", "diary.txt", "--dry-run").code == 0
    assert grucli("train", "diary.txt", "--print-config").code == 0
    prepare(Request("diary.txt")).close()


# ---- workers in scripts and notebooks

BODY = """from grucli.training.api import train
from grucli.errors import GrucliError
"""
CALL = (
    'print(train("diary.txt", steps=6, '
    'settings={"train.workers": WORKERS, "train.batch": 32, "train.window": 16, '
    '"model.hidden": 8, "sample.length": 5}).status)\n'
)


def python(*arguments: str, input: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(grucli.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
        input=input,
    )


def script(call: str, workers: int) -> "subprocess.CompletedProcess[str]":
    Path("script.py").write_text(BODY + call.replace("WORKERS", str(workers)), encoding="utf-8")
    return python("script.py")


def test_a_script_without_the_guard_is_told_of_it() -> None:
    made = script(CALL, workers=2)
    assert made.returncode == 1
    message = made.stderr.strip().splitlines()[-1]
    assert "a worker process could not begin" in message
    assert 'if __name__ == "__main__":' in message
    assert '{"train.workers": 1}' in message
    assert len(list(Path("runs").iterdir())) == 1  # the workers began none of their own


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("raise MemoryError", "a worker process has run out of memory; lower train.batch"),
        ("os.kill(os.getpid(), 9)", "ended by signal 9 (Killed), which systems send when memory"),
        ("raise ValueError('odd')", "ended with exit code 1, and its own message says why"),
    ],
)
@pytest.mark.parametrize("name", ["Shard.__init__", "Shard.run"])
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_what_ends_a_worker_in_its_first_step_is_named(name: str, failure: str, said: str) -> None:
    made = script(
        f"import os\nfrom grucli.training import processes\ndef fail(*_, **__):\n    {failure}\n"
        f'if __name__ == "__mp_main__":\n    processes.{name} = fail\n'
        f'if __name__ == "__main__":\n    {CALL}',
        workers=2,
    )
    message = made.stderr.strip().splitlines()[-1]
    assert said in message
    assert "__main__" not in message


def test_a_script_on_standard_input_has_no_workers() -> None:
    guarded = f'{BODY}if __name__ == "__main__":\n    {CALL}'
    auto = python("-", input=guarded.replace("WORKERS", '"auto"'))
    assert (auto.stdout, auto.stderr) == ("done\n", "")
    made = python("-", input=guarded.replace("WORKERS", "2"))
    assert made.stderr.splitlines()[-1] == (
        "grucli.errors.RunError: train.workers is 2, but worker processes cannot import a script "
        "on standard input; save it as a file; 1 or auto needs none"
    )
    assert len(list(Path("runs").iterdir())) == 1  # the run that was refused left nothing


def test_a_process_of_a_pool_has_no_workers() -> None:
    one = CALL.removeprefix("print(").removesuffix(".status)\n")
    body = f"""
def train_with(workers):
    try:
        return {one.replace("WORKERS", "workers")}.info.workers
    except GrucliError as error:
        return str(error)

if __name__ == "__main__":
    from multiprocessing import get_context
    with get_context("spawn").Pool(1) as pool:
        print(*pool.map(train_with, ["auto", 1, 2]), sep="\\n")
"""
    made = script(body, workers=0)
    assert made.stderr == ""
    assert made.stdout.splitlines() == [
        "1",
        "1",
        "train.workers is 2, but a daemonic process, such as one of multiprocessing.Pool, cannot "
        "start processes; 1 or auto needs none",
    ]


LEFT = """
def left():
    for event in events:
        if isinstance(event, KIND) and event.step == 3:
            return

if __name__ == "__main__":
    events = EVENTS
    LEAVE
"""
EVENTS = {
    "train": "train_events('diary.txt', **words)",
    "compare": "plan_comparison(Request('diary.txt', values=words), 'gru').train()",
    "sweep": (
        "Worker(Path('runs'), None, read_space(None, words | {'optim.lr': {'choice': [0.1]}, "
        "'sweep.trials': 1}), ['diary.txt']).events()"
    ),
}


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize(("workers", "left"), [(1, Stepped), (2, Stepped), (2, Evaluated)])
def test_events_that_are_left_in_a_variable_end_with_the_program(
    kind: str, workers: int, left: type
) -> None:
    words = {"train.steps": 500, "train.workers": workers, "train.batch": 32, "model.hidden": 8}
    words["train.eval_every"] = 3
    made = script(
        "from pathlib import Path\nfrom grucli.training.api import train_events\n"
        "from grucli.training.events import Evaluated, Stepped\n"
        "from grucli.training.request import Request\n"
        "from grucli.sweeps.space import read_space\nfrom grucli.sweeps.worker import Worker\n"
        "from grucli.analysis.comparison import plan_comparison\n"
        f"words = {{'settings': {words}}} if {kind == 'train'} else {words}\n"
        + LEFT.replace("EVENTS", EVENTS[kind])
        .replace("LEAVE", "left()")
        .replace("KIND", left.__name__),
        workers=workers,
    )
    assert (made.stdout, made.stderr, made.returncode) == ("", "", 0)
    (run,) = (Run(path.parent) for path in Path("runs").glob("*/run.json"))
    assert run.status == "interrupted"
    assert run.info.step in (3, 4)  # after an evaluation, one more step is made


def test_events_in_a_thread_that_the_program_leaves_are_no_error() -> None:
    thread = "Thread(target=lambda: list(events), daemon=True).start(); time.sleep(0.5)"
    made = script(
        "import time\nfrom threading import Thread\nfrom grucli.training.api import train_events\n"
        + LEFT.replace(
            "EVENTS", "train_events('diary.txt', minutes=9, settings={'train.workers': 1})"
        ).replace("LEAVE", thread),
        workers=1,
    )
    assert (made.stderr, made.returncode) == ("", 0)


def test_a_script_needs_no_guard_for_one_worker() -> None:
    assert script(CALL, workers=1).stdout == "done\n"


def test_a_script_with_the_guard_uses_workers() -> None:
    made = script(f'if __name__ == "__main__":\n    {CALL}', workers=2)
    assert (made.stdout, made.stderr) == ("done\n", "")


def test_workers_need_no_file_as_in_a_notebook() -> None:
    made = python("-c", BODY + CALL.replace("WORKERS", "2"))
    assert (made.stdout, made.stderr) == ("done\n", "")
