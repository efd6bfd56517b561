"""``grucli page``: the model in one HTML file."""

from itertools import chain
from pathlib import Path
from typing import Literal

from grucli.cli import render
from grucli.config import Data
from grucli.data.decoding import in_utf8
from grucli.data.text_files import STANDARD_INPUT, raw_chunks
from grucli.errors import CorpusError, UsageError
from grucli.files import check_output, read_small
from grucli.pages import build
from grucli.run.run import Run


def page(
    run: Path,
    own_cell: str | None = None,
    output: Path | None = None,
    title: str | None = None,
    passage: str | None = None,
    weights: Literal["float32", "float16"] | None = None,
    force: bool = False,
) -> None:
    """Write the model as one HTML page, which runs it in any browser, without a network.

    The page continues texts, colours a text by surprise, shows units and gates, and follows the
    gradient back through time. It compares its numbers with NumPy's each time it is opened. It
    holds the weights and, unless --passage names one, no text but a sample of the model. Without
    --output it is page.html in the run directory.
    """
    opened = Run.open(run)
    reads = chain(opened.inputs(), [Path(passage)] if passage else [])
    check_output("--output", output, force=force, reads=reads)
    if output is None and not run.is_dir():
        raise UsageError(f"{run}: is not a run directory; name the page with -o FILE")
    title = title and render.typed(title)
    text = None if passage is None else _read(passage, opened.checkpoint.settings.data)
    made = build.page(run, title=title, passage=text, weights=weights)
    if output != render.STANDARD_OUTPUT:
        render.say(f"the page has {len(made.html) / 1e6:.1f} MB, with weights in {made.type}")
        _say_copied(made.copied)
    render.deliver(made.html, "page", output, run / "page.html")


def _say_copied(copied: str | None) -> None:
    if copied is None:
        render.warn(
            "the training text is not there, so it is not known whether the model recites it"
        )
    elif copied:
        render.say(
            f"a sample shares {len(copied):,} characters in a row with the training text; a reader "
            "of the page can make the model write them:"
        )
        render.say(f"  {copied!r}")
    else:
        render.say("no passage of 8 or more characters of a sample occurs in the training text")


def _read(path: str, data: Data) -> str:
    try:
        raw = b"".join(raw_chunks(path)) if path == STANDARD_INPUT else read_small(Path(path))
        return in_utf8(raw, data).decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8; convert it") from None
