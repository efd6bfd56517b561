"""``grucli eval``: how well a model predicts texts."""

from pathlib import Path
from typing import Any

from grucli.cli import render
from grucli.cli.request import overrides
from grucli.config import Data, Settings, resolve
from grucli.data.corpus import Corpus
from grucli.data.text_files import check_read_once
from grucli.data.vocabulary import UnknownInScore, Vocabulary
from grucli.errors import UnknownCharacterError, UsageError
from grucli.evaluation import NOTHING, Score
from grucli.language_model import LanguageModel
from grucli.run.adapted import Rates, check_new, choose_rates, save
from grucli.run.records import ADAPTED
from grucli.run.run import Run
from grucli.training.advice import about_files

ADVICE = "--unknown floor charges for them, --unknown skip leaves them out"
LABELS = {"static": "", "context": ", context {length}", "adapted": ", adapted"}
FORMATS = (",", ".4f", ".4f", ".3f", ".2%", ",")  # of the figures in a table


def eval(
    run: Path,
    own_cell: str | None = None,
    files: list[str] | None = None,
    split: str | None = None,
    unknown: UnknownInScore = "error",
    context_length: int | None = None,
    adapt: bool = False,
    save_adapted: Path | None = None,
    sets: list[str] | None = None,
    as_json: bool = False,
) -> None:
    """Evaluate how well a model predicts texts: bits per character, perplexity, accuracy.

    Figures of a model of bytes are per byte. Each text is read from the zero state. The first
    character is not predicted, except by a model of documents. A long text is cut into pieces,
    which are read in parallel; each first reads the 256 characters before it. --context and --adapt
    add figures of the same characters. With --context each is predicted from 1 to N characters.
    With --adapt the weights take a step after each 32 characters; its rate and decay are chosen on
    validation text of the run, for --split val on training text. --set takes only data.encoding.
    """
    files, rates, adapted, scored = files or [], None, None, []
    _check(files, split, sets, save_adapted, adapt=adapt)
    opened = _open(run)
    lm, encoding = opened.lm, data_of(opened.lm, files, sets or []).encoding
    for name in [split] if split else files:
        text = opened.split(split) if split else _read(opened, name, encoding, unknown)
        if adapt:
            rates = rates or _choose(opened, split)
            adapted = lm.adapt(text, rate=rates.rate, decay=rates.decay, unknown=unknown)
        scores = {"static": adapted.static if adapted else lm.evaluate(text, unknown=unknown)}
        if context_length:
            scores["context"] = lm.evaluate(text, unknown=unknown, context=context_length)
        if adapted:
            scores["adapted"] = adapted.score
        scored.append((name, scores))
    settings = {"context": {"length": context_length}, "adapted": rates and rates._asdict()}
    _answer(scored, lm.vocabulary, settings, as_json=as_json)
    if save_adapted and adapted and rates:
        save(opened, adapted, save_adapted, {"text": name, **rates._asdict()})


def _check(
    files: list[str], split: str | None, sets: list[str] | None, saved: Path | None, *, adapt: bool
) -> None:
    if bool(files) == bool(split):
        raise UsageError("name the texts to predict, or a part of the run's corpus with --split")
    if split and sets:
        raise UsageError("--set names the encoding of files; --split has the encoding of the run")
    if saved is not None:
        if not adapt or len(files) > 1:
            raise UsageError("--save-adapted needs --adapt, and one text")
        check_new(saved)


def _open(path: Path) -> Run:
    run = Run.open(path)
    if run.info.status == ADAPTED:
        render.warn(f"{path}: its weights were adapted to the text that run.json names")
    return run


def _choose(run: Run, split: str | None) -> Rates:
    render.say("choosing the rate and the decay")
    rates = choose_rates(run, split)
    why = f"chosen on the {rates.chosen_on}" if rates.chosen_on else "defaults: there is no text"
    render.say(f"rate {rates.rate:g}, decay {rates.decay:g} ({why})")
    return rates


def _answer(
    scored: list[tuple[str, dict[str, Score]]],
    symbols: Vocabulary,
    settings: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """The figures of each text and of all; those of another kind have their own row and key."""
    sums = {kind: sum((scores[kind] for _, scores in scored), NOTHING) for kind in scored[0][1]}
    rows, records = [], list[dict[str, Any]]()
    for name, scores in [*scored, ("total", sums)]:
        records.append({"file": name})
        for kind, score in scores.items():
            figures = _figures(score, symbols)
            rows.append((name + LABELS[kind].format(**settings.get(kind, {})), figures))
            records[-1] |= {kind: settings[kind] | figures} if kind != "static" else figures
    *files, total = records
    del total["file"]
    shown = _table(rows if len(scored) > 1 else rows[: len(sums)])
    answer = {"files": files, "total": total}
    render.answer(answer, render.table(shown, drop=["perplexity"]), as_json=as_json)


def data_of(lm: LanguageModel, files: list[str], sets: list[str]) -> Data:
    """How the files are read: like the corpus, but --set may name another encoding."""
    check_read_once(files)
    values = overrides(sets)
    if set(values) - {"data.encoding"}:
        raise UsageError("--set takes data.encoding only; the checkpoint contains the others")
    return resolve([("--set", values)], Settings(data=lm.data)).data


def _read(run: Run, file: str, encoding: str, unknown: UnknownInScore) -> Corpus:
    lm = run.lm
    try:
        text = lm.read([file], encoding=encoding, unknown=unknown)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"{error}; {ADVICE}") from None
    if run.was_trained_on(text):
        render.warn(
            f"{file}: the model was trained on this text, so it predicts it better than new text; "
            "--split val scores the part that was held out"
        )
    render.warn(*about_files(text, lm.data))
    if text.rare:
        render.warn(f"{file}: {text.rare:,} rare characters are read as one unknown character")
    if skipped := text.text_id.skipped:
        treated = "are left out" if unknown == "skip" else "count as half an occurrence each"
        render.warn(f"{file}: {skipped:,} characters that the model does not know {treated}")
    return text


def _figures(score: Score, symbols: Vocabulary) -> dict[str, float]:
    return {
        f"{symbols.noun}s": score.chars,
        f"nats_per_{symbols.level}": score.loss,
        f"bits_per_{symbols.level}": score.bits,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
        "skipped": score.skipped,
    }


def _table(rows: list[tuple[str, dict[str, float]]]) -> list[tuple[str, ...]]:
    """A row for each text; only if characters were skipped, a column says how many."""
    names = (name.replace("_per_", "/") for name in rows[0][1])
    table = [("file", *names)]
    table += [(file, *map(format, figures.values(), FORMATS)) for file, figures in rows]
    return table if any(figures["skipped"] for _, figures in rows) else [row[:-1] for row in table]
