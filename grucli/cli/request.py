"""Make settings and a request for training from the options of a command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grucli.cli import render
from grucli.shell import word

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from grucli.config import Values
    from grucli.training.request import Request, TrainOptions


command_line: list[str] = []
"""The words of the current command, for run.json."""


def request(
    corpus: Sequence[str] | None, sets: Sequence[str] | None, **options: "Unpack[TrainOptions]"
) -> "Request":
    """Return the request of a command: the corpus, the values of --set, and its options."""
    from grucli.training.request import COMMAND_LINE, Request

    options["settings"] = overrides(sets or [])
    command = " ".join(map(word, command_line)) or None
    return Request.of(corpus or [], options, COMMAND_LINE, command)


def overrides(sets: Sequence[str]) -> "Values":
    """Return the settings that --set gives, by dotted key; the last value of a key counts."""
    from grucli.config import parse_override

    values: Values = {}
    for text in sets:
        values |= parse_override(render.typed(text))
    return values
