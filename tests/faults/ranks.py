"""Ranks of a run over MPI that are killed or stopped, at random, at random moments.

``python -m tests.faults.ranks`` writes its table into docs/reliability.md. The oracle is that of
the other trials: the resumed run ends with the bytes of the undisturbed one.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page import table, write
from tests.faults import trials
from tests.texts import prose

BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
RANKS = 2
LIMIT = 10.0
"""Seconds within which all ranks must have ended."""


def mpirun(*arguments: object, ranks: int = RANKS) -> "subprocess.Popen[str]":
    """The program as some ranks."""
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "grucli"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=trials.ENVIRONMENT,
        start_new_session=True,
    )


def ranks_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes of the ranks, without their workers; Linux only."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            command = status.with_name("cmdline").read_bytes().split(b"\0")
            if b"grucli" in command and _parent(_parent(int(status.parent.name))) == process.pid:
                found.append(int(status.parent.name))
        except OSError:
            continue  # it has just ended
    return sorted(found)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def hit(process: "subprocess.Popen[str]", number: int, rng: random.Random) -> float:
    """Send a signal to one of the ranks; return the seconds until all have ended."""
    victims = ranks_of(process)
    if victims and process.poll() is None:
        os.kill(rng.choice(victims), number)
    began = time.monotonic()
    process.communicate(timeout=2 * LIMIT)
    return time.monotonic() - began


def trial(runs: Path, number: int, seed: int, whole: trials.Whole) -> float:
    """A run with an accident that is then resumed; return the seconds until all ranks had ended."""
    rng = random.Random(seed)
    command = [*trials.words(runs), "--mpi"]
    process = mpirun(*command)
    time.sleep(rng.uniform(0.2, whole.seconds))
    seconds = hit(process, number, rng)
    if process.returncode:
        made = trials.runs_below(runs)
        process = mpirun(*(["train", "--resume", made[0], "--mpi", "-q"] if made else command))
        _, told = process.communicate()
        assert process.returncode == 0 or "has used its budget" in told, told
    (run,) = runs.iterdir()
    other = trials.differences(run, whole.remains)
    assert not other, (seed, other)
    assert seconds < LIMIT, (seed, seconds)
    return seconds


def campaign(number: int, count: int, whole: trials.Whole) -> list[str]:
    """Accidents of a kind, as a row of the table."""
    seconds = [trial(Path(f"{number}-{seed}"), number, seed, whole) for seed in range(count)]
    name = "kill -9" if number == signal.SIGKILL else "SIGTERM"
    who, longest = f"{name} to one of {RANKS} ranks", f"{max(seconds):.1f} s"
    return [who, f"{count} runs", longest, "all the same bytes"]


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("text.txt").write_text(prose(3000), encoding="utf-8")
        began = time.monotonic()
        process = mpirun(*trials.words(Path("whole")), "--mpi")
        _, told = process.communicate()
        assert process.returncode == 0, told
        (run,) = Path("whole").iterdir()
        whole = trials.Whole(trials.remains(run), time.monotonic() - began)
        rows = [
            campaign(signal.SIGKILL, given.kills, whole),
            campaign(signal.SIGTERM, given.stops, whole),
        ]
        os.chdir(trials.ROOT)
    header = ["accident at a random moment", "tried", "longest time until all had ended", "resumed"]
    write("accidents", table(header, rows), trials.ROOT / "docs" / "reliability.md")


if __name__ == "__main__":
    main()
