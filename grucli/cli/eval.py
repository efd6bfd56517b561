"""``grucli eval``: how well a model predicts texts."""

from pathlib import Path
from typing import Any

from grucli.cli import render
from grucli.cli.request import overrides
from grucli.config import Data, Settings, resolve
from grucli.data.text_files import check_read_once
from grucli.data.vocabulary import UnknownInScore, Vocabulary
from grucli.errors import CorpusError, UnknownCharacterError, UsageError
from grucli.evaluation import NOTHING, Score
from grucli.language_model import LanguageModel
from grucli.run.run import Run
from grucli.training.advice import about_files

ADVICE = "--unknown floor charges for them, --unknown skip leaves them out"
FORMATS = (",", ".4f", ".4f", ".3f", ".2%", ",")  # of the figures in a table


def eval(
    run: Path,
    files: list[str] | None = None,
    split: str | None = None,
    unknown: UnknownInScore = "error",
    sets: list[str] | None = None,
    as_json: bool = False,
) -> None:
    """Evaluate how well a model predicts texts: bits per character, perplexity, accuracy.

    Figures of a model of bytes are per byte, and its columns say so.
    Each text is read from the zero state. The first character is not predicted, except by a model
    of a list. A long text is cut into pieces that are read in parallel; each piece first reads the
    256 characters before it. --set accepts only data.encoding, for texts whose encoding differs
    from that of the corpus.
    """
    if bool(files) == bool(split):
        raise UsageError("name the texts to predict, or a part of the run's corpus with --split")
    opened, files = Run.open(run), files or []
    lm = opened.lm
    if split:
        scores = [(split, lm.evaluate(opened.split(split)))]
    else:
        encoding = data_of(lm, files, sets or []).encoding
        scores = [(file, _score(opened, file, encoding, unknown)) for file in files]
    rows = [(file, _figures(score, lm.vocabulary)) for file, score in scores]
    total = _figures(sum((score for _, score in scores), NOTHING), lm.vocabulary)
    records = {"files": [{"file": file} | figures for file, figures in rows], "total": total}
    shown = [*rows, ("total", total)] if len(rows) > 1 else rows
    render.answer(records, render.table(_table(shown), drop=["perplexity"]), as_json=as_json)


def data_of(lm: LanguageModel, files: list[str], sets: list[str]) -> Data:
    """How the files are read: like the corpus, but --set may name another encoding."""
    check_read_once(files)
    values = overrides(sets)
    if set(values) - {"data.encoding"}:
        raise UsageError("--set takes data.encoding only; the checkpoint contains the others")
    return resolve([("--set", values)], Settings(data=lm.data)).data


def _score(run: Run, file: str, encoding: str, unknown: Any) -> Score:
    lm = run.lm
    try:
        text = lm.read([file], encoding=encoding, unknown=unknown)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"{file}: {error}; {ADVICE}") from None
    try:
        score = lm.evaluate(text, unknown=unknown)
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from None
    if run.was_trained_on(text):
        render.warn(
            f"{file}: the model was trained on this text, so it predicts it better than new text; "
            "--split val scores the part that was held out"
        )
    for note in about_files(text, lm.data):
        render.warn(note)
    if text.rare:
        render.warn(f"{file}: {text.rare:,} rare characters are read as one unknown character")
    if skipped := text.text_id.skipped:
        treated = "are left out" if unknown == "skip" else "count as half an occurrence each"
        render.warn(f"{file}: {skipped:,} characters that the model does not know {treated}")
    return score


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
