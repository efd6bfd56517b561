"""``grucli page``: the model in one HTML file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from grucli import output_files
from grucli.cli import options, render
from grucli.errors import CorpusError, UsageError

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The file [page.html in the run directory].", metavar="FILE"
    ),
]
Weights = Annotated[
    Literal["float32", "float16"] | None,
    typer.Option(
        "--weights",
        help="Type of the weights in the page [float16 above a million parameters].",
        metavar="float32|float16",
    ),
]
Text = Annotated[
    str | None,
    typer.Option("--text", help="The text to show first [a sample of the model].", metavar="FILE"),
]


def page(
    run: options.Run,
    output: Output = None,
    text: Text = None,
    weights: Weights = None,
    force: options.Force = False,
) -> None:
    """Write the model as one HTML page, which runs it in any browser, without a network.

    The page continues texts, colours a text by surprise, shows units and gates, and follows the
    gradient back through time. It compares its numbers with NumPy's each time it is opened. It
    holds the weights and, unless --text names a text, no text but a sample of the model.
    """
    from grucli.page.build import make_page

    output_files.check("--output", output, force=force)
    path = output or _in_run(run)
    made = make_page(run, text=None if text is None else _read(text), weights=weights)
    data = made.html.encode()
    output_files.write_result(path, "page", lambda file: file.write(data))
    render.say(f"the page has {len(data) / 1e6:.1f} MB, with weights in {made.type}")
    if made.copied is None:
        render.warn(
            "the training text is not there, so it is not known whether the model recites it"
        )
    elif made.copied:
        render.say(
            f"the longest passage that a sample shares with the training text has "
            f"{len(made.copied):,} characters; who has the page can make the model write it:"
        )
        render.say(f"  {made.copied!r}")
    render.write_path(path)


def _in_run(run: Path) -> Path:
    if not run.is_dir():
        raise UsageError(f"{run}: is not a run directory; name the page with -o FILE")
    return run / "page.html"


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8") from None
