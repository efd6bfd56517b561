"""The command line: the only package that imports typer and rich.

Each command has its own module, which is imported when the command is called.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from keyword import iskeyword
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from grucli import __version__
from grucli.cli import options, render
from grucli.cli.options import command_line
from grucli.errors import ArgumentError, GrucliError
from grucli.mpiexec import exit_by_signal, should_print
from grucli.stopping import stop_signals

OF_MEMORY = (SystemError, ImportError)  # Python and the system's loader raise them if it is missing
NOT_LOADED = "failed to map segment"  # the words of the loader

COMMANDS = {
    "train": "Train a model on a text.",
    "sample": "Generate text like the corpus.",
    "eval": "Evaluate how well a model predicts texts.",
    "score": "Score each line, or compare several models on it.",
    "next": "Show how probable each next character is.",
    "gradcheck": "Check every gradient against central differences.",
    "example": "Show every number of the two passes of a tiny network.",
    "routes": "Count, name and measure the gradient's ways back in time.",
    "gradflow": "Show how the gradient shrinks on its way back in time.",
    "compare": "Train several cells on a text, and compare the results.",
    "activations": "Colour a text by a unit's values or by surprisal.",
    "corpus": "Write a text that comes with this Python installation.",
    "page": "Write the model as one HTML page that runs it.",
    "report": "Write a report of one or several runs as one HTML page.",
    "export": "Write a run in the format of another program.",
    "import": "Make a run from weights of another program.",
    "merge": "Merge runs of one text into one network.",
    "plot": "Draw the losses of runs.",
    "sweep": "Train many runs whose settings Optuna chooses.",
    "runs": "List the runs, newest first.",
}
"""What each command does. It is the function of its name in the module of its name;
an underscore follows a name that Python has for itself."""


@cache
def load_command(name: str) -> Any:
    word = f"{name}_" * iskeyword(name) or name  # Python has some names for itself
    only = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    function = getattr(import_module(f"grucli.cli.{word}"), word)
    signature_of = import_module("grucli.arguments").public_signature
    only.command(name)(options.described(function, signature_of))
    return typer.main.get_command(only)


class _Commands(TyperGroup):
    """All commands. Until one is called, each is only a name and a sentence."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=line) for name, line in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(command.name), rest


app = typer.Typer(
    name="grucli",
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)


@app.callback()
@options.described
def top(context: typer.Context, version: bool = False, debug: bool = False) -> None:
    """Train a character-level language model on your own text, on an ordinary CPU.

    grucli corpus python-reference            write an example text

    grucli train data/python-reference.txt    train on it, or on another file

    grucli sample runs/...                    generate similar text

    grucli gradcheck                          check that the gradients are right
    """
    if version:
        render.write_line(f"grucli {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        if should_print():
            render.say(context.get_help())
        raise typer.Exit(2)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """After a signal that stops, end with its code, by a SystemExit, which cleans up."""
    exit_codes = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        if "--mpi" in command_line and "mpi4py.MPI" not in sys.modules:
            exit_by_signal(number)
        exit_codes.append(128 + number)
        raise SystemExit(128 + number)

    def drop(problem: "sys.UnraisableHookArgs") -> None:
        if exit_codes:  # Python ignores SystemExit in some callbacks, such as those of imports
            os._exit(exit_codes[0])
        hook(problem)

    hook, sys.unraisablehook = sys.unraisablehook, drop
    try:
        with stop_signals(end):
            yield
    except Exception:
        if exit_codes:  # Python replaces SystemExit by RuntimeError while it creates a class
            raise SystemExit(exit_codes[0]) from None
        raise
    finally:
        sys.unraisablehook = hook


def main(args: list[str] | None = None) -> None:
    """Run a command; turn an expected error into one message and an exit code."""
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    command_line[:] = ["grucli", *args]
    render.use_utf8()
    render.show_log()
    try:
        with _ended_by_signals():
            words = [arg for arg in args if arg != "--debug"]
            sys.exit(app(words, prog_name="grucli", standalone_mode=False))
    except (typer.TyperException, GrucliError, OSError, MemoryError, *OF_MEMORY) as error:
        if isinstance(error, ImportError) and NOT_LOADED not in str(error):
            raise
        if debug:
            render.say(traceback.format_exc())
        sys.exit(_tell(error))
    except Exception as error:
        own = import_module("grucli.nn.cells.from_file").error_in_file(error)
        if not own or debug:
            raise
        sys.exit(_tell(own))


def _tell(error: Any) -> int:
    if isinstance(error, typer.TyperException):
        in_our_words = import_module("grucli.config").in_our_words
        message = in_our_words(error.format_message().rstrip("."))
        context = getattr(error, "ctx", None)
        usage = f"`{context.command_path if context else 'grucli'} --help` shows what it takes"
        if should_print():
            render.error(f"{message[:1].lower()}{message[1:]}; {usage}")
        return int(error.exit_code)
    if isinstance(error, GrucliError):
        render.error(str(error.of_option() if isinstance(error, ArgumentError) else error))
        return error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        render.error(f"{place}{error.strerror or error}")
        return 1
    render.error(
        "there is not enough memory; for training, lower model.hidden, train.batch or "
        "train.window; for sampling, lower --count; for gradflow and routes, lower --positions"
    )
    return 1
