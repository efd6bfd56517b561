"""The command line: the only place that imports typer and rich.

One file a command. Whatever takes long to import is imported inside the commands, so that
``grucli --help`` answers at once.
"""

import signal
import sys
import threading
import traceback
from types import FrameType
from typing import Annotated

import typer

from grucli import __version__
from grucli.cli import (
    activations,
    compare,
    corpus,
    eval,
    gradcheck,
    gradflow,
    render,
    routes,
    runs,
    sample,
    train,
)
from grucli.cores import limit_product_threads
from grucli.docstrings import docstring
from grucli.errors import GrucliError

app = typer.Typer(
    name="grucli",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("eval")(eval.evaluate)
app.command("gradcheck")(gradcheck.gradcheck)
app.command("routes")(routes.routes)
app.command("gradflow")(gradflow.gradflow)
app.command("compare")(compare.compare)
app.command("activations")(activations.activations)
app.command("corpus")(corpus.corpus)
app.command("runs")(runs.runs)


def _show_version(wanted: bool) -> None:
    if wanted:
        render.write_line(f"grucli {__version__}")
        raise typer.Exit


@app.callback()
def top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
) -> None:
    """Train a character-level language model on your own text, on an ordinary CPU.

    grucli corpus python-reference            real text to try it on

    grucli train data/python-reference.txt    train; any text file will do

    grucli sample runs/...                    text like it

    grucli gradcheck                          proof that the gradients are right
    """
    if context.invoked_subcommand != "sample":  # the others share a batch among the cores
        limit_product_threads(1)


for command in (*app.registered_commands, app.registered_callback):
    if command is not None:
        command.help = docstring(command.callback)


def _end(number: int, frame: FrameType | None) -> None:
    """Leave as after Ctrl-C: what is half-written is removed on the way out."""
    del frame
    raise SystemExit(128 + number)


def main(args: list[str] | None = None) -> None:
    """Run a command; expected errors become one message and an exit code."""
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    render.use_utf8()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
    try:
        app([arg for arg in args if arg != "--debug"], prog_name="grucli")
    except GrucliError as error:
        if debug:
            traceback.print_exc()
        render.error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        render.error(f"{place}{error.strerror or error}")
        sys.exit(1)
    except MemoryError:
        if debug:
            traceback.print_exc()
        render.error(
            "there is not enough memory; training takes less with a lower model.hidden, "
            "train.batch or train.window, sampling with a lower --count, what looks inside with "
            "lower --positions"
        )
        sys.exit(1)
