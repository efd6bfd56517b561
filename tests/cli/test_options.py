"""Options are declared once, and the library has the commands' defaults."""

import inspect
import os
import subprocess
import sys
from collections import defaultdict

import pytest

from grucli.analysis import activations, gradient_flow, route_shares, subject
from grucli.cli import COMMANDS, load_command
from grucli.cli.options import CALLBACKS


def test_what_several_commands_have_is_the_same_in_all() -> None:
    declared: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for command in COMMANDS:
        for option in load_command(command).params:
            limits = getattr(option, "min", None), getattr(option, "max", None)
            for name in option.opts:
                if name.startswith("--"):
                    declared[name].add((option.help, option.metavar, *limits))
    assert declared["--json"]
    assert not {name for name, found in declared.items() if len(found) > 1}


def test_each_command_that_opens_a_run_or_trains_reads_a_cell_of_ones_own() -> None:
    with_runs = {*CALLBACKS, "ranges", "compared", "weights_file"} - {"own_cell"}
    for command in COMMANDS:
        names = {one.name for one in load_command(command).params}
        assert ("own_cell" in names) == bool(names & with_runs), command


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
    hidden = next(one for one in load_command("routes").params if one.name == "hidden")
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
