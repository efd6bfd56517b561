"""A quick subset of the campaign, ``python -m tests.faults``."""

import os
import random
import signal
import time
from itertools import islice
from pathlib import Path

import pytest

from grucli.run import checkpoint as checkpoints
from grucli.run.run import Run
from tests.faults import directories, fuzz, interleave, studies, trials
from tests.faults.gradients import MUTATIONS, ROOT
from tests.texts import prose

posix = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("text.txt").write_text(prose(3000), encoding="utf-8")


@posix
def test_a_killed_run_is_resumed_to_the_same_bytes() -> None:
    kills, whole = 0, trials.undisturbed(Path("whole"))
    for number in range(2):
        rng = random.Random(number)
        longest = max(0.25, 0.7 * whole.seconds)
        killed, run = trials.ended_at_random(Path(f"killed-{number}"), rng, longest)
        kills += killed
        assert trials.remains(run) == whole.remains
    assert kills


@posix
def test_a_run_that_goes_back_is_stopped_and_resumed_to_the_same_bytes() -> None:
    whole = trials.undisturbed(Path("whole"), trials.going_back)
    for number in range(2):
        runs, rng = Path(f"stopped-{number}"), random.Random(number)
        _, run = trials.ended_at_random(
            runs, rng, whole.seconds, how=signal.SIGTERM, command=trials.going_back
        )
        assert trials.differences(run, whole.remains) == []


@posix
def test_processes_on_one_run_lose_nothing_in_any_order() -> None:
    text = Path("text.txt").resolve()
    run, wholes = interleave.begun(Path("begun"), text), interleave.wholes(Path("wholes"), text)
    outcomes = [
        outcome
        for number in range(36)
        for outcome in interleave.trial(number, run, Path("copy"), wholes)
    ]
    assert {"done", "refused", "nothing left", "killed"} == set(outcomes)


@posix
def test_accidents_with_files_lose_nothing() -> None:
    whole = trials.undisturbed(Path("whole"), trials.few)
    last = trials.operations(Path("counted"))
    assert last > 200
    for fault, share in [
        ("kill", 0.4),
        ("kill", 0.7),
        ("ENOSPC", 0.5),
        ("EIO", 0.8),
        ("EACCES", 0.6),
    ]:
        at = round(share * last)
        code, told, run = trials.met(Path(f"{fault}-{at}"), fault, at)
        assert (code, trials.remains(run)) == (code, whole.remains), (fault, at, told)


def test_damaged_checkpoints_are_refused_or_read_back_the_same() -> None:
    path = fuzz.small_checkpoint(Path())
    content, original = path.read_bytes(), checkpoints.read(path)
    for damaged in islice(fuzz.flips(content), 0, None, 211):
        fuzz.read_damaged(damaged, Path("damaged.npz"), original)
    for damaged in islice(fuzz.truncations(content), 0, None, 37):
        assert fuzz.read_damaged(damaged, Path("damaged.npz"), original)


@pytest.mark.parametrize("reader", ["checkpoint", "settings", "corpus"])
def test_invented_files_end_in_documented_errors(reader: str) -> None:
    assert fuzz.fuzz(reader, Path(), 100) > 5


@posix
def test_every_command_takes_damaged_run_directories() -> None:
    codes = directories.campaign(Path("directories"), range(-100, 0))
    assert codes[0] > codes[2] > 0


@posix
def test_every_command_takes_damaged_studies() -> None:
    codes = studies.campaign(Path("studies"), range(-15, 0))
    assert codes[0] > codes[2] > 0


@posix
def test_two_workers_whose_locks_fail_and_that_are_killed_give_the_same_bytes() -> None:
    whole = trials.undisturbed_sweep(Path("whole"), trials=6)
    events = 0
    for number in range(3):  # on a busy machine, all trials can be over before the first event
        runs = Path(f"disturbed-{number}")
        events += trials.disturbed_sweep(runs, random.Random(number + 1), most=2)
        assert trials.swept(runs) == whole
        if events:
            break
    assert events


@posix
def test_a_reader_finds_a_sound_checkpoint_at_any_moment() -> None:
    Path("text.txt").write_text(prose(3000), encoding="utf-8")
    frequent = ["--set=train.eval_every=1", "--set=train.keep=0", "--epochs=9999"]
    process = trials.grucli(
        *(word for word in trials.words(Path("runs")) if word not in ("--steps", "60")), *frequent
    )
    try:
        enough, deadline, read = time.monotonic() + 3, time.monotonic() + 120, 0
        while time.monotonic() < (enough if read > 20 else deadline):  # a busy machine starts late
            for pointer in Path("runs").glob("*/checkpoints/best.json"):
                assert Run.open(pointer.parents[1]).checkpoint
                read += 1
        assert process.poll() is None, process.communicate()
        assert read > 20
    finally:
        process.kill()
        process.communicate()


def test_the_places_of_all_mutations_are_in_the_source() -> None:
    for _, one in MUTATIONS:
        source = (ROOT / "grucli" / one.module).read_text("utf-8")
        assert source.count(one.right) == 1, one.what
