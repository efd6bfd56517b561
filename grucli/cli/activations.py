"""``grucli activations``: a text coloured by what a unit does while it is read."""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grucli.cli import outputs, render, subjects
from grucli.cli.sample import Run
from grucli.errors import RunError, UsageError

if TYPE_CHECKING:
    from grucli.analysis.activations import Trace
    from grucli.nn.params import Array, Ids

SURPRISING = 8.0
"""Bits from which a character is shown in full colour."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; color: #111; }}
</style>
<h1>{title}</h1>
<p>{legend}</p>
<pre>{text}</pre>
</html>
"""


Unit = Annotated[
    int | None, typer.Option("--unit", min=0, help="Colour by this unit.", metavar="N")
]
Top = Annotated[
    int | None,
    typer.Option("--top", min=1, help="Find K units tied to each structure.", metavar="K"),
]
Surprisal = Annotated[
    bool, typer.Option("--surprisal", help="Colour by how unexpected each character was.")
]
Layer = Annotated[
    int | None, typer.Option("--layer", min=1, help="Layer; the top one.", metavar="L")
]
Length = Annotated[
    int, typer.Option("--length", "-n", min=2, help="Characters to read.", metavar="N")
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="Write the coloured text into this file.", metavar="FILE"),
]


def activations(
    run: Run,
    text: subjects.Text = None,
    unit: Unit = None,
    top: Top = None,
    surprisal: Surprisal = False,
    layer: Layer = None,
    length: Length = 2000,
    page: Page = None,
    force: outputs.Force = False,
    as_json: subjects.AsJson = False,
) -> None:
    """Colour a text by one unit's value or by surprisal, or find the units tied to its structure.

    Without --unit or --surprisal the units are found that follow quotes, brackets, the position in
    the line and the like most closely (--top 3).
    """
    if sum((unit is not None, top is not None, surprisal)) > 1:
        raise UsageError("--unit, --top and --surprisal are three questions; ask one")
    if page is not None and unit is None and not surprisal:
        raise UsageError("--html shows a coloured text: name a --unit, or --surprisal")
    outputs.check("--html", page, force=force)
    from grucli.analysis.activations import trace

    subject = subjects.of_run(run, text)
    model, ids = subject.model, subject.ids[:length]
    number = _in_range("--layer", layer, 1, model.L) or model.L
    _in_range("--unit", unit, 0, model.H - 1)
    read = trace(model, ids, number)
    shown = _characters(subject, ids)
    if unit is None and not surprisal:
        _tell_correlations(read, shown, top or 3, as_json)
        return
    values = read.bits if unit is None else read.h[:, unit]
    what = "surprisal, bits" if unit is None else f"unit {unit} of layer {number}"
    if page is not None:
        _write_page(page, f"{subject.name}: {what}", shown, values, signed=unit is not None)
    if as_json:
        pairs = zip(shown, values.tolist(), strict=True)
        render.write_json({"what": what, "values": [list(pair) for pair in pairs]})
        return
    _print_coloured(shown, values, signed=unit is not None)


def _in_range(option: str, value: int | None, low: int, high: int) -> int | None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{option} {value}: this model's go from {low} to {high}")
    return value


def _characters(subject: subjects.Subject, ids: "Ids") -> list[str]:
    """What each id looks like; a byte stands for the character of its number."""
    symbols = subject.vocabulary.symbols[ids].tolist()
    return [chr(symbol) for symbol in symbols]


def _tell_correlations(read: "Trace", shown: list[str], top: int, as_json: bool) -> None:
    from grucli.analysis.activations import FEATURES, correlations

    found = correlations(read.h, "".join(shown), top)
    if as_json:
        render.write_json([tie._asdict() for tie in found])
        return
    render.write_line("what units follow    unit and correlation, the closest first")
    for feature in FEATURES:
        units = [tie for tie in found if tie.feature == feature]
        cells = "  ".join(f"{tie.unit:>5} {tie.correlation:+.2f}" for tie in units)
        render.write_line(f"{feature:<18} {cells or 'this text shows none'}")
    render.write_line(f"over {len(shown):,} characters; --unit N colours the text")


def _colour(value: float, largest: float, *, signed: bool) -> tuple[int, int, int]:
    """White for nothing; towards red above, towards blue below."""
    strength = min(1.0, abs(value) / largest) if largest else 0.0
    faded = round(255 - 175 * strength)
    return (faded, faded, 255) if signed and value < 0 else (255, faded, faded)


def _largest(values: "Array", *, signed: bool) -> float:
    return float(abs(values).max()) if signed else SURPRISING


def _print_coloured(shown: list[str], values: "Array", *, signed: bool) -> None:
    """On a terminal coloured; elsewhere the bare text, unless FORCE_COLOR asks for more."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    text, largest = Text(), _largest(values, signed=signed)
    for character, value in zip(shown, values.tolist(), strict=True):
        colour = "rgb({},{},{})".format(*_colour(value, largest, signed=signed))
        text.append(render.printable(character), Style(color="black", bgcolor=colour))
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(text)
    render.write_raw(captured.get().encode(errors="replace"))


def _write_page(path: Path, title: str, shown: list[str], values: "Array", *, signed: bool) -> None:
    """One file that needs no other; each character tells its value under the pointer."""
    spans, largest = [], _largest(values, signed=signed)
    for character, value in zip(shown, values.tolist(), strict=True):
        r, g, b = _colour(value, largest, signed=signed)
        body = html.escape(render.printable(character))
        spans.append(
            f'<span style="background:#{r:02x}{g:02x}{b:02x}" title="{value:.3f}">{body}</span>'
        )
    legend = (
        f"Red is above zero, blue below, in full at {largest:.2f}."
        if signed
        else f"The redder, the less expected; in full from {largest:g} bits."
    )
    heading = html.escape(render.printable(title))
    text = PAGE.format(title=heading, legend=legend, text="".join(spans))
    try:
        outputs.write(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"{path}: cannot write the page: {error.strerror}") from None
