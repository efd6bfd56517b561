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
        "This notebook trains two small models on the Python language reference, a text that every "
        "Python installation holds. It then compares their curves, scores a sentence, looks at the "
        "states of a model while it reads, and takes a gradient apart into its four routes.",
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
        'for name, run in (("256 units", large), ("64 units", small)):\n'
        "    m = run.metrics\n"
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
        "distances = list(shares.shares)\n"
        "curves = [\n"
        "    Curve(name, distances, [of_step[name] for of_step in shares.shares.values()])\n"
        "    for name in shares.shares[1]\n"
        "]\n"
        'SVG(svg(curves, x="steps back", y="share of the gradient", log="x"))',
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
