"""Generate example and figures of docs/derivation.md: ``python docs/make_derivation.py``."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from grucli.analysis.gradient_flow import norms_by_distance
from grucli.analysis.gradient_routes import count, look_back
from grucli.analysis.route_shares import enumerate_routes
from grucli.analysis.worked_example import worked_example
from grucli.cli.example import _lines
from grucli.nn.cells import CELLS, in_words
from grucli.nn.gradcheck import TOLERANCE, check_all, toy

PATH = Path(__file__).with_name("derivation.md")
SUM_OF_ROUTES, SUM_OF_COMPOSITIONS = 1e-12, 1e-10
"""Maximum relative differences, caused by rounding errors."""
FAR = (1, 2, 4, 8, 16, 32)


def figures(cell: str) -> list[str]:
    """Return a row of the table, and assert the claims about it."""
    worst = max(row.error for _, row in check_all(hidden=4, layers=1, dropout=0.0, cell=cell))
    assert worst <= TOLERANCE
    model, _ = toy(V=7, H=6, L=1, T=2, B=2, dropout=0.0, seed=0, cell=cell)
    ids = np.random.default_rng(0).integers(0, 7, (max(FAR) + 9, 5))
    history = look_back(model, ids, max(FAR))
    *_, last = history.gradients()
    length = np.linalg.norm(history.by_backward)
    assert np.linalg.norm(last - history.by_backward) <= SUM_OF_ROUTES * length
    for k in range(1, 6):
        enumeration = enumerate_routes(look_back(model, ids, k), k)
        assert enumeration.difference <= SUM_OF_COMPOSITIONS
    norms = norms_by_distance(history).mean(axis=1)
    return [
        in_words(cell),
        *(f"{count(CELLS[cell], k):,}" for k in range(1, 5)),
        f"at most {TOLERANCE:g}",
        f"at most {SUM_OF_ROUTES:g}",
        f"at most {SUM_OF_COMPOSITIONS:g}",
        *(f"{norms[k] / norms[0]:.2g}" for k in FAR),
    ]


def without_a_route() -> Iterator[str]:
    """Yield, for each route of a GRU, the relative error of the sum without that route."""
    model, _ = toy(V=7, H=6, L=1, T=2, B=2, dropout=0.0, seed=0)
    history = look_back(model, np.random.default_rng(0).integers(0, 7, (12, 5)), 1)
    parts = [part for _, part in history.parts(0, history.gradient)]
    for number, route in enumerate(CELLS["gru"].ROUTES):
        rest = np.sum(parts[:number] + parts[number + 1 :], axis=0)
        error = np.linalg.norm(rest - history.by_backward) / np.linalg.norm(history.by_backward)
        yield f"without {route.name} {error:.0%}"


def document() -> str:
    """Return the whole page with new figures."""
    header = ["cell", *(f"routes, k = {k}" for k in range(1, 5)), "gradcheck", "sum of routes"]
    header += ["sum of compositions, k = 1 to 5", *(f"gradient at k = {k}" for k in FAR)]
    rows = [header, ["---"] * len(header), *(figures(cell) for cell in CELLS)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    body = (
        f"{table}\n\nGradcheck: worst relative error of any entry against central differences. "
        "Sums: relative difference from the backward pass. Gradient: mean length, relative to "
        "k = 0, for 6 units with weights of the order of 1 on a random text. One step back, the "
        f"sum of a GRU's routes is off by: {', '.join(without_a_route())}."
    )
    page = replaced(PATH.read_text(encoding="utf-8"), "figures", body)
    example = "\n".join(_lines(worked_example()))
    return replaced(page, "example", f"```console\n$ grucli example\n{example}\n```")


def replaced(page: str, name: str, body: str) -> str:
    """Return the page with a new part between the marks of this name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.escape(start) + ".*?" + re.escape(end)
    return re.sub(pattern, lambda _: f"{start}\n\n{body}\n\n{end}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
