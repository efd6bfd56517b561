"""A report of runs: one HTML page with curves, settings and samples.

All of it can be read without scripts; a short one adds the numbers under the pointer.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from grucli.charts import COLOURS, Curve, svg, typical_top
from grucli.config import Settings, flatten
from grucli.errors import CheckpointError, CorpusError, UsageError
from grucli.storage.loading import load_with_split
from grucli.storage.run import LOSS, Run
from grucli.text_score import SURPRISING
from grucli.threads import blas_limited_to
from grucli.web_page import WebPage, as_html, policy

SAMPLES = 4
"""Maximum number of samples that are shown side by side."""

SHOWN = 1200
"""Characters of each sample."""

PASSAGE = 1000
"""Characters of the validation text that are coloured by surprise."""

LEVELS = 12
"""Strengths of the colour of surprise."""

AXES = {"step": "steps", "chars": "characters", "elapsed_s": "seconds"}
"""What the losses are drawn by: a column of the metrics, and its name."""


def report(
    *paths: str | os.PathLike[str], verdict: str | None = None, passage: bool = True
) -> WebPage:
    """Make the report of one run, or of several runs that are compared.

    Args:
        paths: the run directories.
        verdict: what to say of the run first.
        passage: whether validation text is read by the model, and coloured by surprise.

    Raises:
        CheckpointError: a path is not a run, or a file of a run is damaged.
        UsageError: no run is named.
    """
    if not paths:
        raise UsageError("name a run")
    runs = [Run(path) for path in paths]
    if len(runs) == 1:
        (run,) = runs
        read = _passage(run) if passage else ()
        return WebPage(_page(run.path.name, chain(_of_one(run, verdict), read, _origin(run))))
    return WebPage(_page(f"{len(runs)} runs", _of_several(runs)))


# ---- one run


def _of_one(run: Run, verdict: str | None) -> Iterator[str]:
    if verdict:
        yield f"<p>{as_html(verdict)}</p>"
    yield _table(_facts(run))
    yield from _losses({by: run.curves(by) for by in AXES}, LOSS)
    yield '<div class="small">'
    for column, name in (
        ("lr", "learning rate"),
        ("grad_norm", "gradient norm"),
        ("chars_per_s", "characters per second"),
    ):
        yield _figure(run.curves(column=column), "step", name, size=(420, 190))
    yield "</div>"
    changed = _changed(run.settings)
    if changed:
        yield "<h2>Settings that differ from the defaults</h2>"
        yield _table(changed)
    yield from _samples(run)


def _facts(run: Run) -> dict[str, str]:
    info = run.info
    facts = {
        "status": run.status,
        "text": ", ".join(Path(path).name for path in info.corpus.paths or []),
        "network": info.model or "",
        "parameters": "" if info.parameters is None else f"{info.parameters:,}",
        "budget": info.budget or "",
        "step": "" if info.step is None else f"{info.step:,}",
        "time": "" if info.elapsed_s is None else f"{info.elapsed_s / 60:.1f} minutes",
    }
    if info.best.loss is not None and info.best.step is not None:
        facts["best loss"] = (
            f"{info.best.loss:.4f} nats = {info.best.loss / math.log(2):.4f} bits per character, "
            f"at step {info.best.step:,}"
        )
    return {name: fact for name, fact in facts.items() if fact}


def _changed(settings: Settings) -> dict[str, str]:
    defaults = flatten(Settings())
    return {
        key: f"{value} (default {defaults[key]})"
        for key, value in flatten(settings).items()
        if value != defaults[key]
    }


def _samples(run: Run) -> Iterator[str]:
    """Samples over time, side by side."""
    found = sorted((run.path / "samples").glob("step-*.txt"))
    if not found:
        return
    places = np.unique(np.linspace(0, len(found) - 1, SAMPLES).round().astype(int))
    yield '<h2>Samples over time</h2><div class="small">'
    for place in places:
        file = found[place]
        text = file.read_bytes().decode(errors="replace")[:SHOWN]
        step = int(file.stem.removeprefix("step-"))
        yield f"<figure><figcaption>step {step:,}</figcaption><pre>{as_html(text)}</pre></figure>"
    yield "</div>"


def _passage(run: Run) -> Iterator[str]:
    """The beginning of the validation text, coloured by surprise, if the text is there."""
    try:
        lm, ids = load_with_split(run.path, "val")
    except (CheckpointError, CorpusError, UsageError):
        return
    with blas_limited_to(1):  # the products are small
        score = lm.score(lm.vocabulary.decode(ids[:PASSAGE]))
    symbols = score.symbols if isinstance(score.symbols, str) else score.symbols.decode("latin-1")
    values = score.bits.tolist()
    spans = "".join(map(_span, symbols, values))
    yield "<h2>How surprising the text is to the model</h2>"
    yield (
        '<p class="soft">The beginning of the validation text. The stronger the colour of a '
        f"character, the less the model expected it; full colour at {SURPRISING:g} bits.</p>"
    )
    yield f'<pre class="surprise">{spans}</pre>'


def _span(symbol: str, bits: float) -> str:
    """A character with its surprise; the policy of the page allows no style of its own."""
    level = min(LEVELS, round(LEVELS * bits / SURPRISING))
    return f'<span class="level-{level}" title="{bits:.2f}">{as_html(symbol)}</span>'


def _origin(run: Run) -> Iterator[str]:
    """What repeats the run."""
    info = run.info
    found = {f"command {n}": text for n, text in enumerate(info.commands, 1)}
    if info.corpus.sha256:
        found["text, SHA-256"] = info.corpus.sha256
    if info.seed is not None:
        found["seed"] = str(info.seed)
    if info.workers is not None:
        found["processes"] = str(info.workers)
    yield "<h2>To repeat it</h2>"
    yield _table(found | dict(info.versions))


# ---- several runs


def _of_several(runs: Sequence[Run]) -> Iterator[str]:
    ranked = sorted(runs, key=lambda run: (run.info.best.loss is None, run.info.best.loss or 0.0))
    yield from _losses({by: list(_validation(ranked, by)) for by in AXES}, f"validation {LOSS}")
    settings = [flatten(run.settings) for run in ranked]
    keys = [key for key in settings[0] if len({str(one.get(key)) for one in settings}) > 1]
    heads = ["run", "best loss", "at step", "minutes", "parameters", *keys]
    rows = [
        [run.path.name, *_result(run), *(str(one.get(key, "")) for key in keys)]
        for run, one in zip(ranked, settings, strict=True)
    ]
    yield "<h2>What differs, and what came of it</h2>"
    head = "".join(f"<th>{as_html(name)}</th>" for name in heads)
    body = "".join(_row(row, number) for number, row in enumerate(rows))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    yield f'<div class="table">{table}</div>'


def _validation(runs: Sequence[Run], by: str) -> Iterator[Curve]:
    """The validation losses of runs, each in the run's colour."""
    for number, run in enumerate(runs):
        for curve in run.curves(by):
            if curve.name == "validation":
                yield Curve(run.path.name, curve.x, curve.y, colour=number)


def _row(cells: Sequence[str], number: int) -> str:
    """A row of the comparison; its first cell has the colour of the run's curve."""
    name, *others = map(as_html, cells)
    rest = "".join(f"<td>{cell}</td>" for cell in others)
    return f'<tr><td class="colour-{number % len(COLOURS)}">{name}</td>{rest}</tr>'


def _result(run: Run) -> list[str]:
    info = run.info
    return [
        "" if info.best.loss is None else f"{info.best.loss:.4f}",
        "" if info.best.step is None else f"{info.best.step:,}",
        "" if info.elapsed_s is None else f"{info.elapsed_s / 60:.1f}",
        "" if info.parameters is None else f"{info.parameters:,}",
    ]


# ---- HTML


@cache
def _style() -> str:
    """The style, with rules for the curves' colours, the strengths of surprise and the axes."""
    rules = [f".colour-{n} {{ color: {colour}; }}" for n, colour in enumerate(COLOURS)]
    rules += [
        f".level-{n} {{ background: rgb(217 84 30 / {n / LEVELS:.2f}); }}"
        for n in range(LEVELS + 1)
    ]
    rules += [f"#by-{axis}:not(:checked) ~ .by-{axis} {{ display: none; }}" for axis in AXES]
    return _source("report.css") + "\n".join(rules)


@cache
def _source(name: str) -> str:
    return files("grucli.analysis").joinpath(name).read_text("utf-8")


def _page(title: str, parts: Iterable[str]) -> str:
    style, script = _style(), _source("report.js")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">\n'
        f"<title>{as_html(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<h1>{as_html(title)}</h1>\n"
        + "\n".join(parts)
        + f"\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _table(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{as_html(name)}</th><td>{as_html(str(fact))}</td></tr>'
        for name, fact in facts.items()
    )
    return f'<div class="table"><table>{rows}</table></div>'


def _losses(by_axis: Mapping[str, Sequence[Curve]], name: str) -> Iterator[str]:
    """Curves of the loss, with a choice of what they are drawn by."""
    yield '<div class="losses"><span class="soft">Loss by</span>'
    for axis, title in AXES.items():
        checked = " checked" * (axis == "step")
        yield f'<input type="radio" name="axis" id="by-{axis}"{checked}>'
        yield f'<label for="by-{axis}">{title}</label>'
    for axis, curves in by_axis.items():
        chart = _figure(curves, AXES[axis], name, typical_top(curves))
        yield f'<div class="by-{axis}">{chart}</div>'
    yield "</div>"


def _figure(
    drawn: Sequence[Curve],
    x: str,
    y: str,
    highest: float | None = None,
    size: tuple[int, int] | None = None,
) -> str:
    width, height = size or (900, 320)
    chart = svg(drawn, x=x, y=y, highest=highest, width=width, height=height)
    return f"<figure>{chart}</figure>" if chart else ""
