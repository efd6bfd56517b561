"""Characters a second of sampling, grucli against PyTorch, and the time to the first character.

Needs the extra ``bench``; then ``python -m benchmarks.sampling``. PyTorch is given both ways in
which people write it, ``nn.GRU`` over one step and ``nn.GRUCell``; the faster one counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.contenders import measure, serve
from benchmarks.page import table, write

VOCABULARY = 65
CHARACTERS = 500
"""Characters of each sample in a turn, as ``grucli sample`` makes them."""
CONTENDERS = ("grucli", "grucli texts", "GRU", "GRUCell")
GRID = [(H, samples) for samples in (1, 64) for H in (128, 512, 1024)]


def grucli_turn(H: int, samples: int, *, texts: bool) -> Callable[[], object]:
    """Samples as ``grucli sample`` makes them: their ids, or the texts with their figures."""
    import numpy as np

    from grucli.data.vocabulary import Vocabulary
    from grucli.language_model import LanguageModel
    from grucli.nn.model import Model
    from grucli.sampling import choose_threads
    from grucli.threads import limit_blas

    limit_blas(1)  # a single sample has threads of its own

    model = Model(VOCABULARY, H, 1)
    model.initialize(np.random.default_rng(0))
    vocabulary, counts = (
        Vocabulary(np.arange(32, 32 + VOCABULARY)),
        np.ones(VOCABULARY, int),
    )
    lm = LanguageModel(model, vocabulary, counts, library="auto", compiled=True)
    if texts and samples == 1:
        return lambda: lm.sample(CHARACTERS, seed=0)
    asked = lm.samples(samples, CHARACTERS, seed=0)
    if texts:
        return lambda: list(asked)
    threads = choose_threads(samples, asked.model)
    return lambda: list(asked.bursts(samples, threads=threads))


def torch_turn(H: int, samples: int, cores: int, *, cell: bool) -> Callable[[], object]:
    """The same in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(cores)
    embedding, output = nn.Embedding(VOCABULARY, 64), nn.Linear(H, VOCABULARY)
    gru = nn.GRUCell(64, H) if cell else nn.GRU(64, H)

    @torch.inference_mode()
    def turn() -> None:
        x = torch.zeros(samples, dtype=torch.long)
        h = torch.zeros(samples, H) if cell else torch.zeros(1, samples, H)
        for _ in range(CHARACTERS):
            if cell:
                out = h = gru(embedding(x), h)
            else:
                states, h = gru(embedding(x)[None], h)
                out = states[0]
            p = torch.softmax(output(out) / 0.8, dim=1)
            x = torch.multinomial(p, 1)[:, 0]

    return turn


def build(contender: str, case: str, cores: int) -> Callable[[], object]:
    """The turn of a contender."""
    H, samples = json.loads(case)
    if "grucli" in contender:
        return grucli_turn(H, samples, texts="texts" in contender)
    return torch_turn(H, samples, cores, cell=contender == "GRUCell")


FIRST_CHARACTER = """
import torch
from torch import nn
H = {H}
embedding, gru, output = nn.Embedding({V}, 64), nn.GRU(64, H), nn.Linear(H, {V})
net = nn.ModuleList([embedding, gru, output])
net.load_state_dict(torch.load({path!r}))
with torch.inference_mode():
    states, h = gru(embedding(torch.zeros(1, dtype=torch.long))[None])
    print(torch.multinomial(torch.softmax(output(states[0]), dim=1), 1).item())
"""


def first_character(folder: Path, H: int = 256, turns: int = 7) -> tuple[float, float]:
    """Seconds from starting the command to its end with one character, grucli and PyTorch."""
    import torch
    from torch import nn

    text = folder / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 200)
    grucli = [sys.executable, "-m", "grucli"]
    train = [*grucli, "train", str(text), "--steps", "1", "--set", f"model.hidden={H}"]
    done = subprocess.run(train, cwd=folder, capture_output=True, text=True, check=True)
    sample = [*grucli, "sample", done.stdout.strip(), "--length", "1"]
    weights = folder / "weights.pt"
    layers = [nn.Embedding(VOCABULARY, 64), nn.GRU(64, H), nn.Linear(H, VOCABULARY)]
    torch.save(nn.ModuleList(layers).state_dict(), weights)
    script = FIRST_CHARACTER.format(H=H, V=VOCABULARY, path=str(weights))
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for command, taken in zip((sample, [sys.executable, "-c", script]), seconds, strict=True):
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
            taken.append(time.perf_counter() - began)
    return median(seconds[0]), median(seconds[1])


def main() -> None:
    """Measure, or be a contender."""
    from grucli.threads import available_cores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("CONTENDER", "CASE"), help="internal")
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.serve:
        name, case = arguments.serve
        serve(build(name, case, arguments.cores))
        return
    rows = []
    for H, samples in GRID:
        case = json.dumps([H, samples])
        result = measure("benchmarks.sampling", case, CONTENDERS, arguments.cores, arguments.turns)
        speeds = {name: samples * CHARACTERS / result[name][0] for name in CONTENDERS}
        ratios = [speeds[ours] / max(speeds["GRU"], speeds["GRUCell"]) for ours in CONTENDERS[:2]]
        rows.append(
            [
                f"H {H}, {samples} at a time",
                *(f"{s:,.0f}" for s in speeds.values()),
                *(f"**{ratio:.2f}**" for ratio in ratios),
            ]
        )
        print(rows[-1], file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = first_character(Path(folder))
    header = ["characters a second", "grucli", "texts", "nn.GRU", "nn.GRUCell"]
    header += ["grucli / the faster", "texts / the faster"]
    first = (
        f"From starting the command to its end with one character (H 256): grucli {ours:.2f} s, "
        f"a script with PyTorch {theirs:.2f} s. Medians of {arguments.turns} turns of "
        f"{CHARACTERS} characters, interleaved."
    )
    write("sampling", f"{table(header, rows)}\n\n{first}")


if __name__ == "__main__":
    main()
