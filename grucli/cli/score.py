"""``grucli score``: how well a model predicts each of many lines, beside other models."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import nlargest
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.cells import cell_len

from grucli.cli import render
from grucli.cli.eval import ADVICE, data_of
from grucli.config import Data
from grucli.data.corpus import texts_of
from grucli.data.decoding import lines_of
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import UnknownInScore
from grucli.errors import ArgumentError, GrucliError, UnknownCharacterError
from grucli.language_model import LanguageModel
from grucli.line_scores import LineScore
from grucli.run.run import load
from grucli.text_out import CONTROLS
from grucli.training.advice import about_not_text

ROWS = 1000  # written at a time
LEAST_ROOM = 20  # columns of a terminal for a line beside its numbers
Column = Callable[[LineScore, str], Any]
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def score(
    run: Path,
    own_cell: str | None = None,
    files: list[str] | None = None,
    against: list[Path] | None = None,
    prior: str | None = None,
    unknown: UnknownInScore = "error",
    sets: list[str] | None = None,
    whole_files: bool = False,
    sort: Literal["surprise", "ratio"] | None = None,
    top: int | None = None,
    chars: bool = False,
    jsonl: bool = False,
) -> None:
    r"""Score each line by itself: its nats (the sum of -log p), nats per character, characters.

    Rows have tabs between their columns (a terminal shows them aligned), and the order of the
    input. A model of a list also predicts the end of each line. Another model begins at the zero
    state, and the first character counts by its frequency. With --against, ratio is log p - log p
    of the other model, in nats. In a row, a tab is \t, a line end \n or \r, \ is \\, and a control
    character is like \u0000.
    """
    paths = [run, *(against or [])]
    lm, *others = map(load, paths)
    for option, given in (("sort ratio", sort == "ratio"), ("prior", prior is not None)):
        if given and not others:
            raise ArgumentError(option, "needs another model; name it with --against")
    named = files or [STANDARD_INPUT]
    data = data_of(lm, named, sets or [])
    files = [*_texts(named, data)]
    asked = {"unknown": unknown, "against": others, "prior": _numbers(prior)}
    unwanted = {"skipped": unknown != "skip", "log_probs": not chars, "line": whole_files}
    unwanted["file"] = len(files) == 1 and not whole_files
    columns = {name: of for name, of in _columns(paths).items() if not unwanted.get(name)}
    rows = (
        (_height(one, sort), _row({name: of(one, file) for name, of in columns.items()}, jsonl))
        for file, one in _scores(lm, files, data, whole_files, asked)
    )
    header = [] if jsonl else ["\t".join(columns) + "\n"]
    _write(header, _ordered(rows, sort, top), aligned=render.on_terminal() and not jsonl)


def _texts(named: Sequence[str], data: Data) -> Sequence[str]:
    """The files to read; say which of those that are named are no texts."""
    files, types = texts_of(named, data)
    render.warn(*about_not_text([(file, types[file].name) for file in types], data))
    return files


def _columns(models: Sequence[Path]) -> dict[str, Column]:
    """The value in each column, of the score of a line and its file."""
    ratios = ["ratio"] if len(models) == 2 else [f"ratio_{n}" for n in range(1, len(models))]
    compared: dict[str, Column] = {
        **{name: _ratio(number) for number, name in enumerate(ratios)},
        "likeliest": lambda one, _: str(models[int(one.posteriors.argmax())]),
        "posterior": lambda one, _: float(one.posteriors.max()),
    }
    return {
        "nats": lambda one, _: one.nats,
        "nats_per_char": lambda one, _: one.nats_per_char if one.chars else None,
        "chars": lambda one, _: one.chars,
        **(compared if ratios else {}),
        "skipped": lambda one, _: one.skipped,
        "log_probs": lambda one, _: one.log_probs,
        "file": lambda _, file: file,
        # a byte that is not UTF-8 is half of a surrogate pair
        "line": lambda one, _: (
            one.line if isinstance(one.line, str) else one.line.decode(errors="surrogateescape")
        ),
    }


def _ratio(number: int) -> Column:
    return lambda one, _: float(one.ratios[number])


def _scores(
    lm: LanguageModel, files: list[str], data: Data, whole: bool, asked: dict[str, Any]
) -> Iterator[tuple[str, LineScore]]:
    """The score of each line, or of each whole file, with its file."""
    try:
        if whole:
            texts = chain.from_iterable(lines_of(file, data, whole=True) for file in files)
            scores = lm.line_scores(texts, name=lambda number: files[number - 1], **asked)
            yield from zip(files, scores, strict=True)
            return
        for file in files:
            place = partial("{}: {} {:,}".format, file, data.document or "line")
            yield from zip(repeat(file), lm.line_scores(lines_of(file, data), name=place, **asked))
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"{error}; {ADVICE}") from None


def _numbers(prior: str | None) -> list[float] | None:
    try:
        return None if prior is None else [float(number) for number in prior.split(",")]
    except ValueError:
        raise ArgumentError("prior", f"must be numbers and commas, not {prior}") from None


def _height(score: LineScore, sort: str | None) -> float:
    """What rows are sorted by: nats per character, or the ratio to the likeliest other model."""
    if sort == "ratio":
        return float(score.ratios.min())
    return score.nats_per_char if score.chars else -math.inf


def _ordered(rows: Iterable[tuple[float, str]], sort: str | None, top: int | None) -> Iterator[str]:
    if top:
        rows = nlargest(top, rows, key=itemgetter(0))
    elif sort:
        rows = sorted(rows, key=itemgetter(0), reverse=True)
    return map(itemgetter(1), rows)


def _row(record: dict[str, Any], jsonl: bool) -> str:
    return (render.json_of(record) if jsonl else "\t".join(map(_cell, record.values()))) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, str):
        return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", value.translate(ESCAPES))
    if isinstance(value, np.ndarray):
        return " ".join(map(_cell, value.tolist()))
    return "nan" if value is None else str(value)


def _write(header: list[str], rows: Iterator[str], *, aligned: bool) -> None:
    """Write rows, some at a time, until nobody reads them any more."""
    for block in _blocks(header, rows):
        if not render.write("".join(_aligned(block) if aligned else block).encode()):
            return


def _blocks(header: list[str], rows: Iterator[str]) -> Iterator[list[str]]:
    """Some rows at a time, the first ones after the header; an error after the rows before it."""
    block = [*header]
    try:
        for row in rows:
            block.append(row)
            if len(block) == ROWS:
                yield block
                block = []
    except GrucliError:
        if block != header:
            yield block
        raise
    yield block


def _aligned(block: Sequence[str]) -> Iterator[str]:
    """Rows for a terminal: their columns aligned, and the last one broken between words."""
    rows, width = [row[:-1].split("\t") for row in block], render.terminal_width()
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)][:-1]
    start = sum(widths) + 2 * len(widths)
    beside = start + LEAST_ROOM <= width
    indent = start if beside else 2
    for *cells, line in rows:
        sized = zip(cells, widths, strict=True)
        head = "".join(f"{' ' * (size - cell_len(cell))}{cell}  " for cell, size in sized)
        if not beside:
            head = "\n".join(render.folded(" ".join(cells), width)) + "\n  "
        lines = render.folded(line, width - indent)
        if len(lines) > 1:  # of what is broken, an indentation would take the room
            lines = render.folded(line.lstrip(), width - indent)
        yield head + f"\n{'':{indent}}".join(lines) + "\n"
