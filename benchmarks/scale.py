"""How training grows over machines: computing and sums measured, a model of both, and its proof.

``python -m benchmarks.scale`` needs the extra ``mpi`` and an MPI whose mpiexec is beside this
Python or on the path. With ``--link``, which needs root and MPICH, two ranks in two network
namespaces train over a link of 1 Gbit/s as well.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.page import table, write
from benchmarks.training import Size, plan_of
from grucli.training.plan import start
from grucli.training.ranks import Ended, Ranks, joined
from grucli.training.step import TrainStep

B, T = 64, 128
HIDDEN = (256, 512, 1024)
LARGEST = 2048
"""Units of a network that is not trained over a link: a step takes seconds."""

MACHINES = (1, 2, 4, 8, 16, 32, 64)
LINKS = {"1 Gbit/s": (1e9, 2e-4), "10 Gbit/s": (1e10, 5e-5), "25 Gbit/s": (2.5e10, 2e-5)}
"""Bits a second, and seconds of latency."""

NUMBERS = (1, 1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000)
"""Lengths of the arrays that are summed."""


# ---- what a rank measures --------------------------------------------------------------------


class Silent(Ranks):
    """A rank that computes its share and waits for nobody."""

    def __init__(self, ranks: Ranks) -> None:
        self.rank, self.size = ranks.rank, ranks.size


def seconds_of(turn: Callable[[], object], turns: int) -> float:
    """The median time of a turn; two go before it."""
    found = []
    for _ in range(2 + turns):
        began = time.perf_counter()
        turn()
        found.append(time.perf_counter() - began)
    return median(found[2:])


def compute_seconds(size: Size, workers: int, ranks: Ranks, turns: int) -> float:
    """The time of a step without its sums, while all ranks compute."""
    plan = plan_of(size, workers, {}, ranks)
    with closing(TrainStep(replace(plan, ranks=Silent(ranks)), start(plan))) as step:
        ranks.sum_(np.zeros(1))
        return seconds_of(lambda: step.update(step.gradient()), turns)


def step_seconds(size: Size, workers: int, ranks: Ranks, turns: int) -> float:
    """The time of a step of all ranks."""
    plan = plan_of(size, workers, {}, ranks)
    with closing(TrainStep(plan, start(plan))) as step:
        step.synchronize()
        return seconds_of(lambda: step.update(step.gradient()), turns)


def sum_seconds(numbers: int, ranks: Ranks, turns: int) -> float:
    """The time of the sum of an array over all ranks."""
    array = np.zeros(numbers, np.float32)
    ranks.sum_(np.zeros(1))
    return seconds_of(lambda: ranks.sum_(array), turns)


def as_rank(hidden: Sequence[int], workers: int, turns: int, *, mpi: bool) -> None:
    """Measure, and print the results on rank 0."""
    with joined(mpi) as ranks:
        sizes = {H: Size(B, T, H, 1) for H in hidden}
        few = {H: max(3, turns * min(H, 512) // H) for H in hidden}
        found = {
            "sums": {n: sum_seconds(n, ranks, 4 * turns) for n in NUMBERS if mpi},
            "compute": {H: compute_seconds(s, workers, ranks, few[H]) for H, s in sizes.items()},
            "step": {H: step_seconds(s, workers, ranks, few[H]) for H, s in sizes.items()},
        }
        if not ranks.rank:
            print(json.dumps(found), flush=True)
            return
        with suppress(Ended):
            ranks.meet()


# ---- the model -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A network as the model sees it.

    Attributes:
        latency: seconds of a message without content.
        rate: bytes a second that a rank sends while it receives as many.
    """

    latency: float
    rate: float

    def sum(self, size: float, ranks: int) -> float:
        """Seconds of the sum of ``size`` bytes over all ranks (Thakur, Rabenseifner, Gropp 2005).

        Halves are exchanged and summed, then gathered: each rank sends, in 2 log2(n) messages,
        2 (n - 1) / n of the array.
        """
        if ranks == 1:
            return 0.0
        return 2 * math.log2(ranks) * self.latency + 2 * (ranks - 1) / ranks * size / self.rate

    @classmethod
    def fitted(cls, seconds: dict[int, float]) -> "Network":
        """The network of two ranks whose sums took these times, by the length of the array."""
        latency = seconds[1] / 2
        largest = max(seconds)
        return cls(latency, 4 * largest / max(seconds[largest] - seconds[1], 1e-9))


def parameters(H: int) -> int:
    """Number of parameters of the network that is measured."""
    from grucli.nn.model import shapes
    from grucli.nn.params import count

    return count(shapes(65, H, 1, "gru"))


# ---- the measurement -------------------------------------------------------------------------


def command(hidden: Sequence[int], workers: int, turns: int, *more: str) -> list[str]:
    """The command line of a rank."""
    words = [sys.executable, "-m", "benchmarks.scale", "--rank", *map(str, hidden)]
    return [*words, "--workers", str(workers), "--turns", str(turns), *more]


def mpiexec() -> str:
    """The mpiexec of this environment."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("there is no mpiexec: pip install mpich")
    return found


def answer_of(words: Sequence[str]) -> dict[str, dict[int, float]]:
    """What a measuring process prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return parsed(done.stdout)


def parsed(text: str) -> dict[str, dict[int, float]]:
    """Results by kind and number, from the last line of what a rank has printed."""
    found = json.loads(text.strip().splitlines()[-1])
    return {name: {int(n): s for n, s in values.items()} for name, values in found.items()}


def side_by_side(hidden: Sequence[int], rounds: int) -> dict[str, list[Any]]:
    """Results of one process with two workers, and of two ranks, in turns."""
    results: dict[str, list[Any]] = {"workers": [], "ranks": []}
    for number in range(rounds):
        results["workers"].append(answer_of(command(hidden, 2, 9)))
        ranks = [mpiexec(), "-n", "2", *command(hidden, 1, 9, "--mpi")]
        results["ranks"].append(answer_of(ranks))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return results


def middle(results: Sequence[dict[str, dict[int, float]]], kind: str) -> dict[int, float]:
    """The medians over rounds."""
    return {n: median(result[kind][n] for result in results) for n in results[0][kind]}


# ---- two namespaces joined by a slow link ----------------------------------------------------


class Link:
    """Two network namespaces whose only connection carries 1 Gbit/s."""

    NAMES = ("grucli-a", "grucli-b")
    ADDRESSES = ("10.77.0.1", "10.77.0.2")

    def __enter__(self) -> "Link":
        """Make the namespaces and the connection."""
        a, b = self.NAMES
        for name in self.NAMES:
            _run("ip", "netns", "add", name)
        _run("ip", "link", "add", "link0", "netns", a, "type", "veth", "peer", "link0", "netns", b)
        for name, address in zip(self.NAMES, self.ADDRESSES, strict=True):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "link0")
            for device in ("lo", "link0"):
                _run("ip", "-n", name, "link", "set", device, "up")
            rate = "tc qdisc add dev link0 root tbf rate 1gbit burst 128kb latency 50ms"
            _run("ip", "netns", "exec", name, *rate.split())
        time.sleep(3)  # until both ends have found each other
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the namespaces."""
        for name in self.NAMES:
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def run(self, words: Sequence[str]) -> str:
        """What two ranks print, one in each namespace and on its own core."""
        options = ["-launcher", "manual", "-localhost", self.ADDRESSES[0], "-n", "2"]
        options += ["-hosts", ",".join(self.ADDRESSES)]
        options += ["-genv", "UCX_TLS", "tcp,self", "-genv", "UCX_NET_DEVICES", "link0"]
        main = subprocess.Popen(
            ["ip", "netns", "exec", self.NAMES[0], mpiexec(), *options, *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert main.stdout is not None
        for line in main.stdout:
            if not line.startswith("HYDRA_LAUNCH: "):
                break
            number = int(line.split()[-1])  # of the launcher's part on that machine
            words = ["ip", "netns", "exec", self.NAMES[number], "taskset", "-c", str(number)]
            subprocess.Popen([*words, *line.split()[1:]], stdin=subprocess.DEVNULL)
        return main.communicate()[0]


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


# ---- the page --------------------------------------------------------------------------------


def proof(where: str, found: dict[str, dict[int, float]]) -> list[list[str]]:
    """Rows that compare the model with what two ranks took."""
    network = Network.fitted(found["sums"])
    rows = []
    for H, measured in found["step"].items():
        predicted = found["compute"][H] + network.sum(4 * parameters(H), 2)
        rows.append(
            [where, str(H)]
            + [f"{1000 * s:.1f} ms" for s in (found["compute"][H], predicted, measured)]
            + [f"{predicted / measured - 1:+.0%}"]
        )
    return rows


def forecast(compute: dict[int, float], efficiency: float) -> str:
    """Characters a second for many machines, each with its own 64 streams."""
    rows = []
    for H, seconds in compute.items():
        for name, (bits, latency) in LINKS.items():
            network = Network(latency, bits / 8 * efficiency)
            speeds = [n * B * T / (seconds + network.sum(4 * parameters(H), n)) for n in MACHINES]
            share = speeds[-1] / MACHINES[-1] / speeds[0]
            rows.append([str(H), name, *(f"{s / 1000:,.0f}k" for s in speeds), f"{share:.0%}"])
    header = ["H", "network", *map(str, MACHINES), "of 64 times one machine"]
    return table(header, rows)


def report(results: dict[str, list[Any]], link: dict[str, dict[int, float]] | None) -> None:
    """Write the tables."""
    one, two = middle(results["workers"], "step"), middle(results["ranks"], "step")
    rows = [
        [str(H), f"{1000 * one[H]:.1f} ms", f"{1000 * two[H]:.1f} ms", f"**{one[H] / two[H]:.2f}**"]
        for H in one
    ]
    speed = table(["H", "one process, two workers", "two ranks", "speed of the ranks"], rows)
    kinds = {kind: middle(results["ranks"], kind) for kind in ("sums", "compute", "step")}
    proofs = proof("shared memory", kinds)
    networks = {"shared memory": Network.fitted(kinds["sums"])}
    if link is not None:
        proofs += proof("1 Gbit/s", link)
        networks["1 Gbit/s"] = Network.fitted(link["sums"])
    header = ["between the ranks", "H", "computing", "predicted step", "measured step", "error"]
    fits = table(
        ["between the ranks", "latency", "rate"],
        [
            [name, f"{1e6 * net.latency:.0f} us", f"{8 * net.rate / 1e9:.2f} Gbit/s"]
            for name, net in networks.items()
        ],
    )
    write("ranks", speed, SCALING)
    write("scale model", f"{fits}\n\n{table(header, proofs)}", SCALING)
    if link is None:
        return  # what share of a network's rate a sum reaches was not measured
    compute = middle(results["workers"], "compute")
    compute |= answer_of(command([LARGEST], 2, 3))["compute"]
    write("scale forecast", forecast(compute, 8 * networks["1 Gbit/s"].rate / 1e9), SCALING)


SCALING = Path(__file__).parents[1] / "docs" / "scaling.md"


def main() -> None:
    """Measure, or be a rank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, nargs="+", metavar="H", help="internal")
    parser.add_argument("--workers", type=int, default=1, help="internal")
    parser.add_argument("--turns", type=int, default=9, help="internal")
    parser.add_argument("--mpi", action="store_true", help="internal")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--link", action="store_true", help="also train over a link of 1 Gbit/s")
    given = parser.parse_args()
    if given.rank:
        as_rank(given.rank, given.workers, given.turns, mpi=given.mpi)
        return
    link = None
    if given.link:
        with Link() as between:
            link = parsed(between.run(command(HIDDEN, 1, 9, "--mpi")))
    results = side_by_side(HIDDEN, given.rounds)
    report(results, link)


if __name__ == "__main__":
    main()
