"""``grucli eval``: how well a model predicts texts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grucli.cli import options, render
from grucli.cli.output import answer
from grucli.cli.request import overrides
from grucli.config import Settings, resolve
from grucli.data.vocabulary import Vocabulary
from grucli.errors import ArgumentError, CorpusError, UnknownCharacterError, UsageError
from grucli.evaluation import NOTHING, Score
from grucli.language_model import LanguageModel
from grucli.run.run import Run
from grucli.training.advice import about_files

Scored = tuple[LanguageModel, list[tuple[str, Score]]]
"""A model, and its score on each text."""

Files = Annotated[
    list[str] | None,
    typer.Argument(help="Texts to predict; - reads standard input.", metavar="FILE"),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Predict a part of the run's own corpus instead of files.",
        metavar="train|val|test",
    ),
]


def eval(
    run: options.Run,
    files: Files = None,
    split: Split = None,
    unknown: options.UnknownInScore = "error",
    sets: options.Sets = None,
    as_json: options.Json = False,
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

    lm, scores = _of_split(run, split) if split else _of_files(run, files, sets, unknown)
    total, symbols = sum((score for _, score in scores), NOTHING), lm.vocabulary
    rows = [{"file": file} | _figures(score, symbols) for file, score in scores]
    units = (f"{symbols.noun}s", f"nats/{symbols.level}", f"bits/{symbols.level}")
    header = (*units, "perplexity", "accuracy", "skipped")
    if len(scores) > 1:
        scores.append(("total", total))
    table = [("file", *header), *((file, *_cells(score)) for file, score in scores)]
    shown = [cells if total.skipped else cells[:-1] for cells in table]
    answer(
        {"files": rows, "total": _figures(total, symbols)},
        render.table(shown, drop=["perplexity"]),
        as_json=as_json,
    )


def _of_split(run: Path, split: str) -> Scored:
    """Return the model, and its score on a part of the corpus that the run was trained on."""
    opened = Run.open(run)
    try:
        return opened.lm, [(split, opened.lm.evaluate(opened.split(split)))]
    except ArgumentError as error:
        raise error.of_option() from None


def _of_files(run: Path, files: list[str] | None, sets: list[str] | None, unknown: Any) -> Scored:
    """Return the model, and its score on each file, read as the corpus or as --set says."""
    opened, files = Run.open(run), files or []
    lm = opened.lm
    if files.count("-") > 1:
        raise UsageError("- (standard input) is named twice; it can be read only once")
    encoding = _encoding(lm, sets or [])
    return lm, [(file, _of_file(opened, file, encoding, unknown)) for file in files]


def _encoding(lm: LanguageModel, sets: list[str]) -> str:
    values = overrides(sets)
    if set(values) - {"data.encoding"}:
        raise UsageError("--set takes data.encoding only; the checkpoint contains the others")
    return resolve([("--set", values)], Settings(data=lm.data)).data.encoding


def _of_file(run: Run, file: str, encoding: str, unknown: Any) -> Score:
    lm = run.lm
    try:
        text = lm.read([file], encoding=encoding, unknown=unknown)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(
            f"{file}: {error}; --unknown floor charges for them, --unknown skip leaves them out"
        ) from None
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
    if text.skipped:
        treated = "are left out" if unknown == "skip" else "count as half an occurrence each"
        render.warn(f"{file}: {text.skipped:,} characters that the model does not know {treated}")
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


def _cells(score: Score) -> tuple[str, ...]:
    return (
        f"{score.chars:,}",
        f"{score.loss:.4f}",
        f"{score.bits:.4f}",
        f"{score.perplexity:.3f}",
        f"{score.accuracy:.2%}",
        f"{score.skipped:,}",
    )
