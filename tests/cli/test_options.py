"""Options are declared once, and the library has the commands' defaults."""

import inspect
import typing
from collections import defaultdict
from typing import Any

import typer.main

from grucli.analysis import activations, gradient_flow, route_shares, subject
from grucli.cli import app, options


def test_what_several_commands_have_is_declared_once() -> None:
    declared: dict[str, dict[int, str]] = defaultdict(dict)
    for command in app.registered_commands:
        assert command.callback is not None
        hints = typing.get_type_hints(command.callback, include_extras=True)
        for parameter in inspect.signature(command.callback).parameters:
            option = typing.get_args(hints[parameter])[1]
            names = (option.default, *(option.param_decls or ()))  # typer takes the first as both
            for name in names:
                if isinstance(name, str) and name.startswith("--"):
                    declared[name][id(option)] = str(command.name)
    twice = {name: sorted(found.values()) for name, found in declared.items() if len(found) > 1}
    assert "--json" in declared
    assert not twice


def test_the_librarys_defaults_are_the_commands() -> None:
    commands: Any = typer.main.get_command(app)

    def default(command: str, name: str) -> object:
        return next(one.default for one in commands.commands[command].params if one.name == name)

    for command, function, names in (
        ("routes", route_shares.measure, ("steps_back", "distance", "positions")),
        ("gradflow", gradient_flow.measure, ("distance", "positions")),
        ("activations", activations.read, ("length",)),
    ):
        parameters = inspect.signature(function).parameters
        for name in names:
            assert default(command, name) == parameters[name].default, (command, name)
    hidden = typing.get_args(options.Hidden)[1]
    assert f"[{subject.UNITS}]" in hidden.help
