"""``grucli activations``: a text coloured by the values of one unit."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

from grucli.analysis.activations import FEATURES, Correlation, Reading, read
from grucli.analysis.subject import of_run
from grucli.cli import render
from grucli.errors import UsageError
from grucli.files import check_output
from grucli.html import ColouredText
from grucli.run.run import Run


def activations(
    run: Path,
    own_cell: str | None = None,
    text: str | None = None,
    unit: int | None = None,
    top: int | None = None,
    surprisal: bool = False,
    layer: int | None = None,
    length: int = 2000,
    html: Path | None = None,
    force: bool = False,
    as_json: bool = False,
) -> None:
    """Colour a text by a unit's values or by surprisal, or find units that follow its structure.

    Without --unit or --surprisal, the command finds the units that follow quotes, brackets, the
    position in the line and similar structures most closely (--top 3).
    """
    if sum((unit is not None, top is not None, surprisal)) > 1:
        raise UsageError("--unit, --top and --surprisal cannot be combined; keep one")
    if html is not None and unit is None and not surprisal:
        raise UsageError("--html writes a coloured text; add --unit or --surprisal")
    reads = chain(Run.open(run).inputs(), [Path(text)] if text else [])
    check_output("--html", html, force=force, reads=reads)
    reading = read(of_run(run, text), layer, length)
    if unit is None and not surprisal:
        closest = reading.correlations(top or 3)
        records = [one._asdict() for one in closest]
        render.answer(records, _correlation_lines(closest, reading), as_json=as_json)
        return
    coloured = reading.surprisal() if unit is None else reading.unit(unit)
    if html is not None:
        coloured.write_page(html)
    if as_json:
        render.write_json(coloured.to_dict())
    else:
        _write(coloured)


def _correlation_lines(closest: list[Correlation], reading: Reading) -> Iterator[str]:
    yield "structure          closest units and their correlations"
    for feature in FEATURES:
        units = [one for one in closest if one.feature == feature]
        cells = "  ".join(f"{one.unit:>5} {one.correlation:+.2f}" for one in units)
        yield f"{feature:<18} {cells or 'not in this text'}"
    read = f"{len(reading.score):,} {reading.score.noun}s"
    yield f"computed over {read}; --unit N colours the text"


def _write(coloured: ColouredText) -> None:
    """Write a text, in colour on a terminal or if FORCE_COLOR is set, and say what colours mean."""
    text = Text()
    for character, _, colour in coloured.coloured():
        text.append(character, Style(color="black", bgcolor="rgb({},{},{})".format(*colour)))
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(text)
    render.write_raw(captured.get().encode(errors="replace"))
    if console.color_system is not None:
        render.say(f"{coloured.what}: {coloured.legend}")
    else:
        render.warn(
            "the text is without its colours, because the output is not a colour terminal; --html "
            "FILE writes a page in colour, and FORCE_COLOR=1 keeps the colours"
        )
