"""Make settings and a request for training from the options of a command."""

from collections.abc import Sequence

from grucli.cli import render
from grucli.cli.options import command_line
from grucli.config import Values, parse_override
from grucli.text_out import word
from grucli.training.request import COMMAND_LINE, Request, TrainOptions


def request(
    corpus: Sequence[str] | None, sets: Sequence[str] | None, options: TrainOptions
) -> Request:
    """The request of a command: the corpus, the values of --set, and its options."""
    settings = TrainOptions(settings=overrides(sets or []))
    command = " ".join(map(word, command_line)) or None
    return Request.of(corpus or [], options | settings, COMMAND_LINE, command)


def overrides(sets: Sequence[str]) -> Values:
    """The settings that --set gives, by dotted key; the last value of a key counts."""
    values: Values = {}
    for text in sets:
        values |= parse_override(render.typed(text))
    return values
