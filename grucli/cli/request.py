"""Make settings and a request for training from the options of a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grucli.cli import render
from grucli.cli.options import command_line
from grucli.config import Values, parse_override
from grucli.errors import SettingsError
from grucli.text_out import word
from grucli.training.request import Request


def request(
    corpus: Sequence[str] | None,
    config: Path | None,
    sets: Sequence[str] | None,
    flags: Mapping[str, float | None],
    **others: Any,
) -> Request:
    """Return the request that the options describe.

    Args:
        corpus: files and directories.
        config: a settings file.
        sets: the values of --set.
        flags: the values of flags such as --steps, by the name of the setting under train.
        others: other arguments of ``Request``.
    """
    given = {f"train.{key}": value for key, value in flags.items() if value is not None}
    values = _merged(overrides(sets or []), given)
    command = " ".join(map(word, command_line)) or None
    return Request(corpus or [], config, values, "command line", command=command, **others)


def overrides(sets: Sequence[str]) -> Values:
    """Return the settings that --set gives, by dotted key; the last value of a key counts."""
    values: Values = {}
    for text in sets:
        values |= parse_override(render.typed(text))
    return values


def _merged(values: Values, flags: Values) -> Values:
    """Return the settings that --set and the flags give."""
    twice = [key for key in flags if key in values]
    if twice:
        raise SettingsError(f"{twice[0]} is given by --set and by a flag; keep one")
    return values | flags
