"""Options are declared once, and the library has the commands' defaults."""

import inspect
import os
import subprocess
import sys
import typing
from collections import defaultdict

import pytest

from grucli.analysis import activations, gradient_flow, route_shares, subject
from grucli.cli import COMMANDS, load_command, options


def test_what_several_commands_have_is_declared_once() -> None:
    declared: dict[str, dict[int, str]] = defaultdict(dict)
    for command in COMMANDS:
        callback = load_command(command).callback
        hints = typing.get_type_hints(callback, include_extras=True)
        for parameter in inspect.signature(callback).parameters:
            option = typing.get_args(hints[parameter])[1]
            names = (option.default, *(option.param_decls or ()))  # typer takes the first as both
            for name in names:
                if isinstance(name, str) and name.startswith("--"):
                    declared[name][id(option)] = command
    twice = {name: sorted(found.values()) for name, found in declared.items() if len(found) > 1}
    assert "--json" in declared
    assert not twice


def test_the_librarys_defaults_are_the_commands() -> None:
    def default(command: str, name: str) -> object:
        return next(one.default for one in load_command(command).params if one.name == name)

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


@pytest.mark.parametrize(
    ("words", "completed"),
    [("grucli tra", "train"), ("grucli train --st", "--steps"), ("grucli nothing --st", "")],
)
def test_a_shell_completes_commands_and_their_options(words: str, completed: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    environment = os.environ | asked | {"_GRUCLI_COMPLETE": "complete_bash"}
    command = [sys.executable, "-m", "grucli"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (completed, "")
