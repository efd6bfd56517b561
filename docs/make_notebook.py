"""Write docs/notebook.ipynb, executed: ``python docs/make_notebook.py``.

Needs the extra ``notebook``: ``pip install -e ".[notebook]"``.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("notebook.ipynb")

CELLS = [
    (
        "markdown",
        "# grucli in a notebook\n\n"
        "This notebook is a lecture on the gradient of a GRU, in order: the gradients are right; "
        "two small models learn the Python language reference, a text that every Python "
        "installation holds; their samples, scores and states; the four routes of a gradient, and "
        "the $4^k$ ways of k steps; how far back a gradient reaches in three cells. The equations "
        "are in derivation.html beside this notebook, and exercises in exercises.md.",
    ),
    (
        "code",
        "from pathlib import Path\n\n"
        "import numpy as np\n"
        "from IPython.display import SVG\n\n"
        "import grucli\n"
        "from grucli.charts import Curve, svg\n"
        "from grucli.data import builtin\n\n"
        'text = Path("python-reference.txt")\n'
        'text.write_text("".join(builtin.chunks("python-reference")), encoding="utf-8")\n'
        'f"{text.stat().st_size:,} bytes"',
    ),
    (
        "markdown",
        "## The gradients are right\n\n"
        "Every entry of every array is compared with a central difference in float64. The check "
        "fails when one of the four routes is left out.",
    ),
    (
        "code",
        "from grucli.analysis.gradient_checks import check_settings\n\n"
        'right = check_settings({"model.layers": 1})\n'
        "right.passed, len(right.rows)",
    ),
    (
        "code",
        'broken = check_settings({"model.layers": 1}, mistake="route-4-reset")\n'
        "broken.passed, broken.wrong[:4]",
    ),
    (
        "markdown",
        "## Train\n\n`grucli.train` blocks until the run is done and prints nothing. Both runs "
        "make 150 steps, the second one with fewer units.",
    ),
    ("code", "large = grucli.train(text, steps=150)\nlarge"),
    (
        "code",
        'small = grucli.train(text, steps=150, settings={"model.hidden": 64})\n'
        "small.info.parameters, large.info.parameters",
    ),
    (
        "markdown",
        "`run.metrics` holds the columns of metrics.csv as NumPy arrays. "
        "`pandas.DataFrame(run.metrics)` takes them as they are.",
    ),
    (
        "code",
        "curves = []\n"
        "for run in (large, small):\n"
        '    m, name = run.metrics, f"{run.settings.model.hidden} units"\n'
        '    val = m["split"] == "val"\n'
        '    curves.append(Curve(name, m["chars"][val], m["bpc"][val]))\n'
        'SVG(svg(curves, x="characters read", y="validation loss, bits per character"))',
    ),
    ("markdown", "## Sample and score"),
    (
        "code",
        'lm = large.load()\nprint(lm.sample(300, prompt="The ", temperature=0.7, seed=1))',
    ),
    (
        "markdown",
        "The score of a text has the log probability of each of its characters. In a notebook its "
        "characters are coloured by surprise.",
    ),
    ("code", 's = lm.score("The function returns a string. The zebra returns a xylophone.")\ns'),
    ("code", "s.bits_per_symbol, s[4:12].bits_per_symbol"),
    (
        "markdown",
        "## States\n\n`lm.states` gives the state and the gates of a layer while it reads a text, "
        "each (T, H). The update gate $z$ writes: where it is near zero, a unit keeps its state. "
        "The curves are of the units that write least, as much as half of the others, and most.",
    ),
    (
        "code",
        'sentence = "If the expression is true, the statement is executed."\n'
        "states = lm.states(sentence)\n"
        "print({name: array.shape for name, array in states.items()})\n"
        'z = states["z"]\n'
        "order = np.argsort(z.mean(axis=0))  # units that write little first\n"
        "units = order[[0, len(order) // 2, -1]]\n"
        'curves = [Curve(f"unit {unit}", range(len(z)), z[:, unit]) for unit in units]\n'
        'SVG(svg(curves, x="characters of the sentence", y="update gate z"))',
    ),
    (
        "markdown",
        "## The four routes of the gradient\n\n"
        "From $h_t$ a gradient reaches $h_{t-1}$ by four routes: directly, through the update "
        "gate, through the candidate, and through the candidate and the reset gate. Their shares "
        "add up to 1, and their sum is what the backward pass computes.",
    ),
    (
        "code",
        "from grucli.analysis import route_shares, subject\n\n"
        "looked_at = subject.of_run(large.path)\n"
        "shares = route_shares.measure(looked_at, steps_back=1, distance=32, positions=32)\n"
        "for one in shares.enumeration.contributions:\n"
        '    print(f"{one.name:<10} {one.share:+.3f}")\n'
        'print("sum of the routes against the backward pass:", shares.enumeration.difference)',
    ),
    (
        "code",
        "SVG(shares.chart())",
    ),
    (
        "markdown",
        "## $4^k$\n\n"
        "Two steps back there are $4 \\cdot 4$ compositions of routes, and $4^k$ for k steps. They "
        "are enumerated, not computed by a formula: an LSTM has 5 and then 24, an RNN always 1. "
        "The sum of the 16 is the gradient that backpropagation through time gives.",
    ),
    ("code", "route_shares.counts()"),
    (
        "code",
        "two = route_shares.measure(looked_at, steps_back=2, positions=32).enumeration\n"
        "for one in two.contributions[:5]:\n"
        '    print(f"{one.name:<22} {one.share:+.3f}")\n'
        'print(len(two.contributions), "compositions; their sum agrees:", two.agrees)',
    ),
    (
        "markdown",
        "## How far back a gradient reaches\n\n"
        "The norm of the gradient, divided by its norm at the position of the loss, in three cells "
        "of the same width before training. The gates hold the gradient up.",
    ),
    (
        "code",
        "from grucli.analysis import gradient_flow\n\n"
        'cells = subject.untrained(["rnn", "lstm", "gru"], text=str(text))\n'
        "SVG(gradient_flow.chart(gradient_flow.measure(cells, distance=64, positions=32)))",
    ),
]


def notebook() -> Any:
    """The notebook, not executed."""
    import nbformat

    cells = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    made = nbformat.v4.new_notebook(cells=[cells[kind](source) for kind, source in CELLS])
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return made


def execute(made: Any) -> Any:
    """The same with its outputs, executed in an empty directory."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        client = NotebookClient(made, timeout=300, resources={"metadata": {"path": folder}})
        return client.execute()


if __name__ == "__main__":
    import nbformat

    executed = execute(notebook())
    for cell in executed.cells:
        cell.get("metadata", {}).pop("execution", None)
    nbformat.write(executed, PATH)
