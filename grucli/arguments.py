"""Checks of arguments of public functions."""

from typing import Any, get_args

from grucli.errors import ArgumentError


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse a value that is not one of a ``Literal``.

    Raises:
        ArgumentError: the message names the choices.
    """
    if value not in get_args(choices):
        known = " or ".join(map(repr, get_args(choices)))
        raise ArgumentError(name, f"must be {known}, not {value!r}")
