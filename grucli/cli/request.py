"""What the words of ``grucli train`` ask for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grucli.cli import render
from grucli.errors import SettingsError

if TYPE_CHECKING:
    from grucli.config import Values
    from grucli.training.request import Request


def request(
    corpus: Sequence[str] | None,
    config: Path | None,
    sets: Sequence[str] | None,
    flags: Mapping[str, float | None],
    **others: Any,
) -> "Request":
    """What is asked for.

    Args:
        corpus: files and directories.
        config: a settings file.
        sets: values of --set.
        flags: numbers that have a flag of their own, by the name of their setting under train.
        others: as of ``Request``.
    """
    from grucli.training.request import Request

    given = {f"train.{key}": value for key, value in flags.items() if value is not None}
    values = _overrides(sets or [], given)
    return Request(corpus or [], config, values, "command line", **others)


def _overrides(sets: Sequence[str], flags: "Values") -> "Values":
    """What --set and the flags say."""
    from grucli.config import parse_override

    values: Values = {}
    for text in sets:
        values |= parse_override(render.typed(text))
    twice = [key for key in flags if key in values]
    if twice:
        raise SettingsError(f"{twice[0]} is given by --set and by a flag; keep one")
    return values | flags
