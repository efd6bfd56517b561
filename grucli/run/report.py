"""A report of runs: one HTML page with curves, settings and samples, also without its script."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from statistics import mean, stdev
from typing import Any

import numpy as np
from pydantic import InstanceOf

from grucli.arguments import PathLike, Several, checked
from grucli.charts import COLOURS, Curve, svg, typical_top
from grucli.config import Settings, Values, changes, flatten
from grucli.data.corpus import Corpus, all_of, hashes
from grucli.errors import CheckpointError, CorpusError, UsageError
from grucli.files import open_own
from grucli.html import WebPage, as_html, filled, source
from grucli.run.records import IMPORTED
from grucli.run.run import Run, common_noun, curves, loss_axis, names_of, validation_curves
from grucli.run.verdict import about_dropout, uncertain
from grucli.text_out import duration
from grucli.text_score import SURPRISING
from grucli.threads import blas_limited_to

SAMPLES = 4  # samples that are shown side by side, at most
SHOWN, LONGEST_CHARACTER = 1200, 4  # characters of each sample, and the bytes of one
PASSAGE = 1000  # symbols of the validation text that are coloured by surprise
LEVELS = 12  # strengths of the colour of surprise

# What the losses are drawn by: a column of the metrics, and its name with the noun of a symbol.
AXES = {"step": "steps", "chars": "{}s", "elapsed_s": "seconds"}


@checked
def report(
    *paths: PathLike,
    said: Several[str] = (),
    passage: bool = True,
    public: bool = False,
    text: InstanceOf[Corpus] | None = None,
) -> WebPage:
    """The report of one run, or of several that are compared, which begins with what is ``said``.

    A ``passage`` of the validation text is coloured by surprise; ``text`` None reads it again. A
    ``public`` report, of one run, has neither that nor command lines nor paths.
    """
    if not paths:
        raise UsageError("name a run")
    if public and len(paths) > 1:
        raise UsageError("a public report is of a single run")
    runs = [Run(path) for path in paths]
    if len(runs) > 1:
        return WebPage(_page(f"{len(runs)} runs", _compare_runs(runs, said)))
    (run,) = runs
    read = _show_passage(run, text) if passage and not public else ()
    parts = chain(_show_run(run, said, public), read, _show_origin(run, public))
    return WebPage(_page(_name_text(run) or run.path.name, parts))


def _name_text(run: Run) -> str:
    """A text in few words: its first file, and how many more there are."""
    first, *more = run.text_names or [""]
    return f"{first} and {len(more)} more" if more else first


# ---- one run


def _show_run(run: Run, said: Sequence[str], public: bool) -> Iterator[str]:
    yield _soft(run.path.name)
    best, settings = run.info.best.loss, run.settings  # training writes reports, so they are quick
    if public:
        settings = settings.model_copy(update={"data": settings.data.without_folders()})
    noun = settings.data.noun
    yield from map(_said, said or ([] if best is None else [uncertain(best, noun)]))
    yield _table(_facts(run, noun))
    metrics = run.metrics
    drawn_by = {by: curves(metrics, by) for by in AXES}
    yield from _draw_losses(drawn_by, noun)
    yield from map(_soft, about_dropout(settings.model, drawn_by["step"]))
    yield '<div class="small">'
    named = {"lr": "learning rate", "grad_norm": "gradient norm"}
    for column, name in (named | {"chars_per_s": f"{noun}s per second"}).items():
        drawn = [Curve(name, curve.x, curve.y) for curve in curves(metrics, column=column)]
        yield _draw(drawn, x="step", y=name, width=420, height=190)
    yield "</div>"
    if changed := changes(Settings(), settings):
        usual = flatten(Settings())
        yield "<h2>Settings that differ from the defaults</h2>"
        yield _table(
            {k: f"{_setting(one)} (default: {_setting(usual[k])})" for k, one in changed.items()}
        )
    yield from _show_samples(run)


def _facts(run: Run, noun: str) -> dict[str, str]:
    info = run.info
    best = info.best
    size = [] if info.corpus.chars is None else [f"{info.corpus.chars:,} {noun}s"]
    facts = {
        "status": run.status,
        "text": ", ".join(run.text_names + size),
        "network": info.model or "",
        "parameters": _formatted(info.parameters, ","),
        "budget": info.budget or "",
        "step": _formatted(info.step, ","),
        "time": "" if info.elapsed_s is None else duration(info.elapsed_s),
    }
    if best.loss is not None and best.step is not None:
        loss = f"{best.loss:.4f} nats = {best.loss / math.log(2):.4f} bits per {noun}"
        facts["best loss"] = f"{loss}, at step {best.step:,}"
    return facts


def _setting(value: object) -> str:
    return "not set" if value is None else str(value)


def _show_samples(run: Run) -> Iterator[str]:
    samples = run.samples()
    if not samples:
        return
    yield '<h2>Samples over time</h2><div class="small">'
    for number in np.unique(np.linspace(0, len(samples) - 1, SAMPLES).round().astype(int)):
        step, path = samples[number]
        with open_own(path) as file:
            text = file.read(LONGEST_CHARACTER * SHOWN).decode(errors="replace")[:SHOWN]
        yield f"<figure><figcaption>step {step:,}</figcaption><pre>{as_html(text)}</pre></figure>"
    yield "</div>"


def _show_passage(run: Run, text: Corpus | None) -> Iterator[str]:
    """The beginning of the validation text, coloured by surprise, or why it is not."""
    try:
        lm = run.lm
        ids = run.part("val") if text is None else run.checkpoint.splits(text).val
    except (CheckpointError, CorpusError) as error:
        yield _soft(f"No validation text is shown: {error}")
        return
    if len(ids) < 2:
        return
    with blas_limited_to(1):  # the products are small
        score = lm.score(ids[:PASSAGE])
    yield "<h2>How surprising the text is to the model</h2>"
    yield _soft(
        "The beginning of the validation text. The stronger the colour of a "
        f"{lm.vocabulary.noun}, the less the model expected it; full colour at {SURPRISING:g} bits."
    )
    yield f'<pre class="surprise">{score.coloured().to_html(LEVELS)}</pre>'


def _show_origin(run: Run, public: bool) -> Iterator[str]:
    info = run.info
    commands = () if public else info.commands
    facts = {f"command {n}": command for n, command in enumerate(commands, 1)}
    facts |= {
        "text, SHA-256": ", ".join(one.sha256 or "" for one in all_of(info.corpus)),
        "seed": _formatted(info.seed),
        "processes": _formatted(info.workers),
        "ranks": str(info.ranks) if (info.ranks or 1) > 1 else "",
    }
    yield "<h2>To repeat it</h2>"
    yield _table(facts | info.versions)


# ---- several runs


def _compare_runs(runs: Sequence[Run], said: Sequence[str]) -> Iterator[str]:
    yield from map(_said, said)
    ranked = sorted(runs, key=lambda run: (run.info.best.loss is None, run.info.best.loss or 0.0))
    names, texts, noun = names_of(ranked), _name_texts(ranked), common_noun(runs)
    if len(set(texts)) > 1:
        yield (
            "<p>The runs have different texts. A loss depends on the text, so losses on different "
            "texts cannot be compared.</p>"
        )
    infos = [run.info for run in ranked]
    without = [name for name, one in zip(names, infos, strict=True) if one.best.split == "train"]
    if without:
        yield (
            "<p>Without validation text, and so with a training loss as best loss and without a "
            f"curve: {as_html(', '.join(without))}.</p>"
        )
    metrics = [run.metrics for run in ranked]
    yield from _draw_losses(
        {by: validation_curves(names, metrics, by) for by in AXES}, noun, "validation "
    )
    settings = [flatten(run.settings) for run in ranked]
    others = {key: [_setting(one.get(key)) for one in settings] for key in settings[0]}
    others = {"text": texts, "batch x window": list(map(_portion, ranked))} | others
    minutes = [None if info.elapsed_s is None else info.elapsed_s / 60 for info in infos]
    columns = {
        "best loss": [_formatted(info.best.loss, ".4f") for info in infos],
        "at step": [_formatted(info.best.step, ",") for info in infos],
        "minutes": [_formatted(one, ".1f") for one in minutes],
        "parameters": [_formatted(info.parameters, ",") for info in infos],
    }
    columns |= {name: cells for name, cells in others.items() if len(set(cells)) > 1}
    yield "<h2>What differs, and what came of it</h2>"
    yield _comparison_table(dict(enumerate(names)), columns)
    yield from _show_seeds(names, ranked, settings, texts)


def _show_seeds(
    names: Sequence[str], ranked: Sequence[Run], settings: Sequence[Values], texts: Sequence[str]
) -> Iterator[str]:
    """The mean loss of runs that differ in the seed alone, if there are some."""
    kinds: dict[object, dict[Any, tuple[int, float]]] = {}
    for number, (text, run, one) in enumerate(zip(texts, ranked, settings, strict=True)):
        others = ((key, str(one[key])) for key in one if key != "train.seed")
        kind = text, run.status, str(run.info.init_from), *others
        if (loss := run.info.best.loss) is not None:
            kinds.setdefault(kind, {}).setdefault(one["train.seed"], (number, loss))
    groups = [[*by_seed.values()] for by_seed in kinds.values() if len(by_seed) > 1]
    if not groups:
        return
    yield "<h2>Runs that differ in the seed alone</h2>"
    columns = {
        "runs": [str(len(group)) for group in groups],
        "mean best loss": [f"{mean(loss for _, loss in group):.4f}" for group in groups],
        "standard deviation": [f"{stdev(loss for _, loss in group):.4f}" for group in groups],
    }
    rows = {number: f"{names[number]} and others" for (number, _), *_ in groups}
    yield _comparison_table(rows, columns)


def _name_texts(runs: Sequence[Run]) -> list[str]:
    """The texts of runs by name; different texts with one name have their hashes too."""
    names = [_name_text(run) for run in runs]
    texts = [hashes(run.info.corpus) for run in runs]
    if len(set(zip(names, texts, strict=True))) == len(set(names)):
        return names
    shortened = (" ".join(one[:8] for one in text.split()) for text in texts)
    return [f"{name} {text}" for name, text in zip(names, shortened, strict=True)]


def _portion(run: Run) -> str:
    """What a step reads: less than the settings say if the text is short."""
    try:
        if run.info.status == IMPORTED:  # its checkpoint has no state of training
            return ""
        return f"{run.checkpoint.batch} x {run.checkpoint.window}"
    except CheckpointError:
        return ""


def _formatted(value: float | None, form: str = "") -> str:
    return "" if value is None else format(value, form)


def _comparison_table(names: Mapping[int, str], columns: Mapping[str, Sequence[str]]) -> str:
    """A table with a row for each run by its number, which gives the colour of its curve."""
    heads = "".join(f'<th scope="col">{as_html(name)}</th>' for name in ("run", *columns))
    rows = "".join(
        f'<tr role="row"><th scope="row" role="rowheader">{_swatch(number)}{as_html(name)}</th>'
        + "".join(
            f'<td role="cell" data-name="{as_html(column)}">{as_html(cells[row])}</td>'
            for column, cells in columns.items()
        )
        + "</tr>"
        for row, (number, name) in enumerate(names.items())
    )
    table = f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="table" tabindex="0"><table class="runs" role="table">{table}</table></div>'


# ---- HTML


@cache
def _style() -> str:
    """The style, with rules for the curves' colours, the strengths of surprise and the axes."""
    rules = [f".colour-{n} {{ background: {colour}; }}" for n, colour in enumerate(COLOURS)]
    for n in range(LEVELS + 1):
        rules.append(f".level-{n} {{ background: rgb(var(--hot) / {n / LEVELS:.2f}); }}")
    for axis in AXES:
        rules.append(f".losses:has(#by-{axis}:not(:checked)) .by-{axis} {{ display: none; }}")
    return source("grucli.run", "report.css") + "\n".join(rules)


def _page(title: str, parts: Iterable[str]) -> str:
    template, script = (source("grucli.run", name) for name in ("report.html", "report.js"))
    return filled(template, _style(), script, title=as_html(title), body="\n".join(parts))


def _said(sentence: str, kind: str = "said") -> str:
    return f'<p class="{kind}">{as_html(sentence)}</p>'


def _soft(sentence: str) -> str:
    return _said(sentence, "soft")


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{as_html(name)}</th><td>{as_html(fact)}</td></tr>'
        for name, fact in facts.items()
        if fact
    )
    return f'<div class="table"><table>{rows}</table></div>'


def _draw_losses(by_axis: Mapping[str, Sequence[Curve]], noun: str, of: str = "") -> Iterator[str]:
    yield '<div class="losses"><p class="axes"><span class="soft">Loss by</span>'
    for axis, title in AXES.items():
        checked = " checked" * (axis == "step")
        radio = f'<input type="radio" name="axis" id="by-{axis}"{checked}>'
        yield f"<label>{radio} {title.format(noun)}</label>"
    yield "</p>"
    for axis, drawn in by_axis.items():
        x, y = AXES[axis].format(noun), of + loss_axis(noun)
        chart = _draw(drawn, x=x, y=y, highest=typical_top(drawn), width=720, height=300)
        yield f'<div class="by-{axis}">{chart}</div>'
    yield "</div>"


def _draw(drawn: Sequence[Curve], **how: Any) -> str:
    """A chart with its key, which is not in the picture, so that it has room on a phone."""
    chart = svg(drawn, **how, key=False)
    names = [f"<li>{_swatch(curve.colour or 0)}{as_html(curve.name)}</li>" for curve in drawn]
    key = f'<ul class="key">{"".join(names)}</ul>' if len(drawn) > 1 else ""
    return f"<figure>{key}{chart}</figure>" if chart else ""


def _swatch(number: int) -> str:
    return f'<i class="swatch colour-{number % len(COLOURS)}"></i>'
