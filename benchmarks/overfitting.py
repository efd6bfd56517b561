"""Does a GRU overfit less than an LSTM? ``python -m benchmarks.overfitting [--runs WIDTH PARAMS]``.

Both cells read a short text, without dropout, until all runs are well past their best evaluation.
``--runs`` compares the runs in two existing directories, of equal width and of equal parameters.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.page import write

CHARACTERS = 50_000
WORDS = (
    "--cells gru,lstm --seeds 5 --epochs 200 --set model.hidden=128 --set model.dropout=0 "
    "--set model.weight_dropout=0 --set optim.lr=0.005 --set optim.schedule=constant "
    "--set train.patience=0 --set train.workers=1 --set train.products=numpy"
)


def grucli(*words: str) -> str:
    """The answer of a command."""
    command = [sys.executable, "-m", "grucli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def text(folder: Path) -> str:
    """The path of the text: the beginning of the Python language reference."""
    whole = folder / "whole.txt"
    grucli("corpus", "python-reference", "-o", str(whole))
    path = folder / "short.txt"
    path.write_bytes(whole.read_bytes()[:CHARACTERS])
    return str(path)


def main() -> None:
    """Train the runs, or take those that exist, and write what compare says of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs=2, type=Path, metavar=("WIDTH", "PARAMS"))
    arguments = parser.parse_args()
    parts = []
    with tempfile.TemporaryDirectory() as name:
        for number, match in enumerate(("width", "params")):
            asked = ["compare", "short.txt", "--match", match, *WORDS.split()]
            if arguments.runs:
                runs = [str(path) for path in sorted(arguments.runs[number].iterdir())]
                answer = grucli("compare", "--runs", *runs)
            else:
                folder = Path(name)
                given = [text(folder) if word == "short.txt" else word for word in asked]
                answer = grucli(*given, "--runs-dir", str(folder / match))
            parts.append(f"$ grucli {' '.join(asked)}\n{answer}")
    write("overfitting", "```console\n" + "\n".join(parts) + "```")


if __name__ == "__main__":
    main()
