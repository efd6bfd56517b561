"""The whole campaign: ``python -m tests.faults --minutes N``; writes docs/reliability.md.

Runs are killed at random and at each operation on files, operations are made to fail, every bit
of a checkpoint is flipped, readers are given invented files, and commands damaged run directories
and studies.
After each accident the run is resumed, and must end with the bytes of the undisturbed one.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from benchmarks.page import table, write
from grucli.run import checkpoint as checkpoints
from tests.faults import directories, fuzz, interleave, studies, trials
from tests.texts import prose

PAGE = trials.ROOT / "docs" / "reliability.md"
KILLS = 200
STOPPED = 200
INTERLEAVINGS = 2_000
INPUTS = 10_000
STUDIES = 2_000
EVENTS = 40
FAULTS = ("kill", "ENOSPC", "EIO", "EACCES")
READERS = ("checkpoint", "settings", "corpus")
PROCESSES = os.cpu_count() or 1

Row = list[str]


def within(seconds: float, tasks: Iterable[Callable[[], object]]) -> list[object]:
    """Results of as many tasks as there is time for, some at a time; an error ends it all."""
    end, results = time.monotonic() + seconds, []
    with ThreadPoolExecutor(PROCESSES) as pool:
        pending = list(tasks)
        while pending and time.monotonic() < end:
            some, pending = pending[:PROCESSES], pending[PROCESSES:]
            results += list(pool.map(lambda task: task(), some))
    return results


def random_kills(seconds: float) -> Row:
    """Kills at random moments, until there were enough or time is over."""
    kills, whole = 0, trials.undisturbed(Path("whole"))

    def trial(number: int) -> int:
        rng = random.Random(number)
        killed, run = trials.ended_at_random(Path(f"random-{number}"), rng, whole.seconds)
        other = trials.differences(run, whole.remains)
        assert not other, (number, other)
        return killed

    end, number = time.monotonic() + seconds, 0
    while kills < KILLS and time.monotonic() < end:
        batch = range(number, number + PROCESSES)
        with ThreadPoolExecutor(PROCESSES) as pool:
            kills += sum(pool.map(trial, batch))
        number += PROCESSES
    return ["kill -9 at random moments", f"{kills} kills in {number} runs", "all the same bytes"]


def stops(seconds: float) -> Row:
    """SIGTERM at random moments in runs that diverge and go back."""
    whole = trials.undisturbed(Path("whole-back"), trials.going_back)

    def trial(number: int) -> Callable[[], int]:
        def run() -> int:
            runs, rng = Path("back", str(number)), random.Random(number)
            stopped, path = trials.ended_at_random(
                runs, rng, whole.seconds, how=signal.SIGTERM, command=trials.going_back
            )
            other = trials.differences(path, whole.remains)
            assert not other, (number, other)
            return stopped

        return run

    done = within(seconds, [trial(number) for number in range(STOPPED)])
    what = f"{sum(map(int, done))} stops in {len(done)} runs"  # type: ignore[call-overload]
    return ["SIGTERM at random moments in runs that go back", what, "all the same bytes"]


def interleaved(folder: Path, numbers: range) -> list[str]:
    """Outcomes of interleavings."""
    text = Path("text.txt").resolve()
    place = folder / f"interleaved-{numbers.start}"
    run, wholes = interleave.begun(place, text), interleave.wholes(place / "wholes", text)
    return [
        outcome
        for number in numbers
        for outcome in interleave.trial(number, run, place / "copy", wholes)
    ]


def interleavings(folder: Path) -> Row:
    """Two or three processes on one run, their operations in many orders."""
    share = INTERLEAVINGS // PROCESSES
    parts = [range(start, start + share) for start in range(0, INTERLEAVINGS, share)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        outcomes = Counter(itertools.chain(*pool.map(interleaved, [folder] * len(parts), parts)))
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
    what = f"{sum(map(len, parts)):,} orders of their operations on files"
    return ["two or three processes on one run", what, f"nothing lost; {told}"]


def accidents(whole: trials.Whole, fault: str, seconds: float) -> Row:
    """One accident a run, at operations spread over the run, first coarsely, then finely."""
    count = trials.operations(Path(f"counted-{fault}"))
    order = [at for step in (64, 16, 4, 1) for at in range(1, count + 1, step)]
    ended: list[int] = []

    def trial(at: int) -> Callable[[], None]:
        def run() -> None:
            code, told, path = trials.met(Path(f"{fault}-{at}"), fault, at)
            other = trials.differences(path, whole.remains)
            assert not other, f"{fault} at operation {at}: {other}, {told}"
            ended.append(code)

        return run

    done = within(seconds, [trial(at) for at in dict.fromkeys(order)])
    name = "killed at an operation on files" if fault == "kill" else f"{fault} from an operation"
    alone = sum(code == 0 for code in ended)
    what = f"{len(done)} of {count} operations"
    note = "all the same bytes"
    if fault != "kill":
        note += f"; {alone} runs went on by themselves, {len(ended) - alone} were resumed"
    return [name, what, note]


def damage(folder: Path) -> list[Row]:
    """Each truncation and each flipped bit of a checkpoint."""
    path = fuzz.small_checkpoint(folder)
    content, original = path.read_bytes(), checkpoints.read(path)
    rows = []
    for name, variants in (("cut", fuzz.truncations), ("one bit flipped", fuzz.flips)):
        refused = [
            fuzz.read_damaged(bad, folder / "bad.npz", original) for bad in variants(content)
        ]
        same = len(refused) - sum(refused)
        note = f"{sum(refused):,} refused, {same:,} read back the same, 0 silently different"
        rows.append(
            [f"a checkpoint of {len(content):,} bytes, {name}", f"{len(refused):,} files", note]
        )
    return rows


def invented(reader: str) -> Row:
    """Mutated inputs of one reader, in a process of its own with little memory."""
    limited = ProcessPoolExecutor(1, initializer=fuzz.limit_memory)
    with tempfile.TemporaryDirectory() as folder, limited as process:
        refused = process.submit(fuzz.fuzz, reader, Path(folder), INPUTS).result()
    note = f"{refused:,} refused in words, the others read; 0 undocumented errors"
    return [f"invented files for the reader of {reader}", f"{INPUTS:,} files", note]


def damaged_directories(folder: Path) -> Row:
    """Damaged run directories for every command, in processes with little memory."""
    shares = [range(number, INPUTS, PROCESSES) for number in range(PROCESSES)]
    folders = [folder / f"directories-{number}" for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, initializer=fuzz.limit_memory) as processes:
        codes = sum(processes.map(directories.campaign, folders, shares), Counter())
    what = "damaged run directories, also with links and pipes, for seven commands"
    note = f"{codes[0]:,} commands succeeded, {codes[1] + codes[2]:,} were refused in words"
    ends = f"0 tracebacks, none longer than {directories.SECONDS:g} s"
    return [what, f"{INPUTS:,} directories", f"{note}; {ends}"]


def damaged_studies(folder: Path) -> Row:
    """Damaged studies for the commands of sweeps, in processes with little memory."""
    shares = [range(number, STUDIES, PROCESSES) for number in range(PROCESSES)]
    folders = [folder / f"studies-{number}" for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, initializer=fuzz.limit_memory) as processes:
        codes = sum(processes.map(studies.campaign, folders, shares), Counter())
    note = f"{codes[0]:,} commands succeeded, {codes[1] + codes[2]:,} were refused in words"
    what = "damaged studies for sweep --show, runs and sweep"
    return [what, f"{STUDIES:,} studies", f"{note}; 0 tracebacks, no file outside changed"]


def disturbed_sweeps() -> Row:
    """Two workers of a sweep that are killed and whose locks fail, until there were enough."""
    whole, events, number = trials.undisturbed_sweep(Path("whole-sweep")), 0, 0
    while events < EVENTS:
        runs, number = Path(f"swept-{number}"), number + 1
        events += trials.disturbed_sweep(runs, random.Random(number), most=8)
        assert trials.swept(runs) == whole, number
    what = f"{events} kills and failures of all locks in {number} sweeps"
    return ["two workers of a sweep", what, "all the same results and bytes"]


def guided(reader: str) -> list[Row]:
    """Inputs of one reader that coverage has guided, where atheris is installed."""
    if find_spec("atheris") is None:
        return []
    command = [sys.executable, "-m", "tests.faults.guided", reader, str(INPUTS)]
    done = subprocess.run(command, capture_output=True, text=True, env=trials.ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    what = f"the reader of {reader}, inputs guided by coverage (atheris)"
    return [[what, f"{INPUTS:,} files", "0 undocumented errors"]]


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    seconds = 60 * parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("text.txt").write_text(prose(3000), encoding="utf-8")
        rows: list[Row] = []

        def add(*more: Row) -> None:
            rows.extend(more)
            print(*more, sep="\n", file=sys.stderr)

        with ProcessPoolExecutor(1) as aside:
            add(*aside.submit(damage, Path(folder)).result())
        for reader in READERS:
            add(invented(reader), *guided(reader))
        add(interleavings(Path(folder)))
        add(stops(seconds / 5))
        add(damaged_directories(Path(folder)))
        add(damaged_studies(Path(folder)))
        add(disturbed_sweeps())
        add(random_kills(seconds / 5))
        whole = trials.undisturbed(Path("few"), trials.few)
        for fault in FAULTS:
            add(accidents(whole, fault, seconds / 5))
        os.chdir(trials.ROOT)
    write("faults", table(["accident", "tried", "result"], rows), PAGE)
    print(f"{len(rows)} passed, 0 failed")


if __name__ == "__main__":
    main()
