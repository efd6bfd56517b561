"""Make settings and a request for training from the options of a command."""

from collections.abc import Sequence

from grucli.cli import render
from grucli.cli.options import command_line
from grucli.config import Values, parse_override
from grucli.text_out import word
from grucli.training.request import COMMAND_LINE, Request, TrainOptions


def request(
    corpus: Sequence[str] | None,
    sets: Sequence[str] | None,
    options: TrainOptions,
    own_cell: str | None = None,
) -> Request:
    has_cell = options.get("resume") or options.get("init_from")
    settings = TrainOptions(settings=overrides(sets or [], None if has_cell else own_cell))
    command = " ".join(map(word, command_line)) or None
    return Request.of(corpus or [], options | settings, COMMAND_LINE, command)


def overrides(sets: Sequence[str], own_cell: str | None = None) -> Values:
    """The settings that --set gives, by dotted key; the last value of a key counts."""
    values: Values = {"model.cell": own_cell} if own_cell else {}
    for text in sets:
        values |= parse_override(render.typed(text))
    return values
