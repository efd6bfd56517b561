"""Charts of curves: as SVG for pages and files, and as text for terminals."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

from grucli.html import as_html

# These colours differ in lightness too; their contrast is above 3 on light and on dark paper.
COLOURS = ("#1668c7", "#d9541e", "#2f9e66", "#a463c8", "#a98721", "#4a9aa8", "#c7447e", "#7a7f8a")
# What has the same colour in all figures, in their order.
ROUTES = ("direct", "update", "candidate", "reset", "input", "forget", "output", "recurrent")
CELLS = ("gru", "lstm", "rnn", "gru-after")
GREY = "#757575"  # of the texts: contrast 4.5 on white; a page overrules it by its style

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")  # digits of an exponent

# in pixels
WIDTH, HEIGHT = 720, 280
SLIDE_HEIGHT, SLIDE_WIDTH = 405, 1280  # of a figure for slides, which is shown larger
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 30, 42  # margins of the axes, without the names of the curves
EDGE = 4  # around the plot, where curves and their marks are still drawn
FARTHEST = 1e4  # from the plot; a point that is farther away is drawn there
CHARACTER, LINE, SWATCH = 7.5, 15, 18  # about the size of a character; the width of a colour
LONGEST = 32  # characters of a name beside the curves; of a longer one, its end is shown

TICKS = 5  # about how many marks an axis has
PARTS = 200  # a longer curve is drawn from the lowest and highest point of each part
MARKED = 120  # points up to which each of a curve has a mark with its numbers

# An axis shows smaller numbers as 0, and numbers as equal that differ by a smaller share of
# themselves: a float has only 15 digits, and no number below 5e-324.
SMALLEST, CLOSEST = 1e-290, 1e-12
LEAST, LARGEST = 5e-324, sys.float_info.max

# Bits of the dots of a braille character, by row and column (Unicode, chapter 21.1).
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

Point = tuple[float, float]  # of a curve, or of a plot from its upper left corner


@dataclass(frozen=True)
class Curve:
    """A curve, and the band around it."""

    name: str  # its name in the key; empty for none
    x: Sequence[float]  # the places of its points, ascending
    y: Sequence[float]  # their values; points that are not finite are left out
    colour: int | None = None  # number of its colour; None for its place among the curves
    low: Sequence[float] = ()  # the lower edge of the band, with a value for each x; empty: no band
    high: Sequence[float] = ()  # the upper edge
    dashed: bool = False
    area: bool = False  # whether only the band is drawn, in full colour

    @cached_property
    def points(self) -> list[Point]:
        pairs = zip(map(float, self.x), map(float, self.y), strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]

    @cached_property
    def drawn(self) -> list[Point]:
        """The points that are drawn: of a long curve its ends, and what is lowest and highest."""
        points, size = self.points, -(-len(self.points) // PARTS)
        if size < 3:
            return points
        kept = {0, len(points) - 1}
        for start in range(0, len(points), size):
            part = range(start, min(start + size, len(points)))
            kept |= {choose(part, key=lambda n: points[n][1]) for choose in (min, max)}
        return [points[n] for n in sorted(kept)]

    @cached_property
    def band(self) -> list[Point]:
        """The outline of the band as it is drawn."""
        if not len(self.low):
            return []
        lower, upper = (Curve("", self.x, edge).drawn for edge in (self.low, self.high))
        return [*upper, *reversed(lower)]


@dataclass(frozen=True)
class Axis:
    """The range of an axis; of a logarithmic one, between powers of ten."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], highest: float | None, *, log: bool) -> "Axis":
        """The range of all values; a logarithmic axis leaves out those that are not above 0."""
        shown = [value for value in values if value > 0 or not log] or [1.0]
        low, high = min(shown), max(shown)
        if highest is not None:
            high = min(high, max(highest, low))
        if log:
            low, high = math.log10(low), math.log10(high)
        return cls(*_range(low, high), log)

    def share(self, value: float) -> float:
        """How far a value is from the low end to the high one, from 0 to 1."""
        if self.log:
            value = math.log10(max(value, LEAST))
        return (value / 4 - self.low / 4) / (self.high / 4 - self.low / 4)  # without an overflow

    def ticks(self) -> list[float]:
        """About ``TICKS`` round numbers, or powers of ten."""
        if not self.log:
            return ticks(self.low, self.high)
        size = self.high - self.low
        if size < 1:
            return ticks(*_range(_power(self.low), _power(self.high)))
        step, digits = math.ceil(size / TICKS / 2), (1, 2, 5) if size < TICKS / 2 else (1,)
        powers = range(math.floor(self.low / step) * step, math.floor(self.high) + 1, step)
        values = [digit * _power(power) for power in powers for digit in digits]
        return [value for value in values if 0 <= self.share(value) <= 1]

    def mark(self, value: float) -> str:
        """What the axis says at a value: powers of ten, if it goes by them and far from 1."""
        far = self.log and (self.low < -2 or self.high >= 12) and value != 1
        return power_of_ten(value) if far else short(value)


@dataclass(frozen=True)
class Area:
    """The rectangle in which curves are drawn: its axes, its size, and its upper left corner."""

    x_axis: Axis
    y_axis: Axis
    width: float
    height: float
    left: float = 0
    top: float = 0

    def x(self, value: float) -> float:
        return self.left + self.x_axis.share(value) * self.width

    def y(self, value: float) -> float:
        """Values above the range are above the rectangle."""
        down = (1 - self.y_axis.share(value)) * self.height
        return self.top + max(-FARTHEST, min(down, FARTHEST))


Axes = tuple[Axis, Axis]  # the horizontal and the vertical one


def axes_around(
    curves: Sequence[Curve], highest: float | None = None, log: str = ""
) -> Axes | None:
    """The axes of a chart with all points; None without points."""
    if not any(curve.points for curve in curves):
        return None
    points = [point for curve in curves for point in (*curve.points, *curve.band)]
    xs, ys = zip(*points, strict=True)
    return Axis.around(xs, None, log="x" in log), Axis.around(ys, highest, log="y" in log)


def _range(low: float, high: float) -> tuple[float, float]:
    """The range of an axis; numbers that it cannot tell apart are in its middle."""
    size = max(abs(low), abs(high))
    size = 1.0 if size < SMALLEST else size
    if high - low > CLOSEST * size:
        return low, high
    return max(low - size / 2, -LARGEST), min(high + size / 2, LARGEST)


def _power(exponent: float) -> float:
    return math.pow(10.0, min(exponent, 308.25))  # a larger one overflows


def typical_top(curves: Sequence[Curve]) -> float | None:
    """A value above which only the first tenth of a falling curve lies."""
    tops = [
        sorted(y for _, y in curve.points)[-1 - len(curve.points) // 10]
        for curve in curves
        if curve.points
    ]
    return max(tops, default=None)


def ticks(low: float, high: float) -> list[float]:
    """About ``TICKS`` round numbers from ``low`` to ``high``."""
    rough = high / TICKS - low / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for an axis: 1500 is 1.5k."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e15:
            return f"{value / size:.6g}{sign}"
    plain = f"{value:.4g}"
    return power_of_ten(value) if "e" in plain else plain


def power_of_ten(value: float) -> str:
    """A number by its power of ten: 10⁻⁶, 2.5·10⁻⁷."""
    factor, exponent = f"{value:.3e}".split("e")
    power = f"10{str(int(exponent)).translate(RAISED)}"
    return power if float(factor) == 1 else f"{float(factor):g}·{power}"


# ---- SVG


def svg(
    curves: Sequence[Curve],
    *,
    x: str,  # what the horizontal axis shows
    y: str,  # what the vertical axis shows
    highest: float | None = None,  # the highest value to show; curves leave the plot above it
    log: str = "",  # the axes that are logarithmic: "x", "y" or "xy"
    levels: Sequence[float] = (),  # of the vertical axis; at each a dashed line is drawn
    width: int = WIDTH,  # in pixels
    height: int | None = None,
    key: bool = True,  # whether the names of several curves are beside them
    slide: bool = False,  # whether it is a figure for slides: larger, and on paper of its own
) -> str:
    """Curves as SVG, without scripts; empty if there are no points."""
    axes = axes_around(curves, highest, log)
    if axes is None:
        return ""
    named = key and (len(curves) > 1 or curves[0].area)
    longest = max(len(curve.name[:LONGEST]) for curve in curves)
    right = SWATCH + CHARACTER * longest if named else RIGHT
    height = height or (SLIDE_HEIGHT if slide else HEIGHT)
    if named:  # each name has a line
        height = max(height, TOP + LINE * len(curves) + BOTTOM)
    area = Area(*axes, width - LEFT - right, height - TOP - BOTTOM, LEFT, TOP)
    titles = label(x, LEFT + area.width, height - 6, "end") + label(y, RIGHT, TOP - 14)
    names = _names(curves, area) if named else ()
    content = "".join([*_grid(area), titles, _plot(curves, area, levels), *names])
    return drawing(content, width, height, x=x, y=y, slide=slide)


STYLE = (
    "<style>.figure text{fill:#33363d}@media(prefers-color-scheme:dark){.figure text{fill:#d5d7dc}"
    '.figure .paper{fill:#15171b}}</style><rect class="paper" width="100%" height="100%" '
    'fill="#fff"/>'
)


def drawing(content: str, width: int, height: int, *, x: str, y: str, slide: bool) -> str:
    """An SVG element that shows ``y`` by ``x``; a slide is light or dark as the screen is."""
    size = f'width="{width}" height="{height}"'
    if slide:
        size = f'width="{SLIDE_WIDTH}" height="{SLIDE_WIDTH * height // width}" class="figure"'
        content = STYLE + content
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} role="img" '
        f'aria-label="{as_html(f"{y} by {x}")}" data-x="{as_html(x)}" font-family="sans-serif" '
        f'font-size="12">{content}</svg>'
    )


def _grid(area: Area) -> Iterator[str]:
    for value in area.y_axis.ticks():
        at = area.y(value)
        yield _line(at, area.width, 'stroke="#8888" stroke-width="0.5"')
        yield label(area.y_axis.mark(value), LEFT - 6, at + 4, "end")
    for value in area.x_axis.ticks():
        yield label(area.x_axis.mark(value), area.x(value), TOP + area.height + 18, "middle")


def _line(y: float, width: float, look: str) -> str:
    return f'<path d="M{LEFT} {y:.1f}h{width}" {look}/>'


def label(text: str, x: float, y: float, anchor: str = "") -> str:
    anchor = f'text-anchor="{anchor}" ' if anchor else ""
    return f'<text x="{x:.6g}" y="{y:.6g}" {anchor}fill="{GREY}">{as_html(text)}</text>'


def _names(curves: Sequence[Curve], area: Area) -> Iterator[str]:
    """The names of the curves on the right, each with a line in its colour to the curve's end."""
    right, bottom = area.left + area.width, area.top + area.height
    ends = sorted(
        (min(area.y(curve.points[-1][1]), bottom), curve.name, colour_of(curve, number))
        for number, curve in enumerate(curves)
        if curve.name and curve.points
    )
    y = area.top - LINE
    for number, (end, name, colour) in enumerate(ends, 1):
        y = max(y + LINE, min(end, bottom - LINE * (len(ends) - number)))
        start = f"M{right + 2:.1f} {max(area.top, end):.1f}"
        yield f'<path d="{start}L{right + 13:.1f} {y:.1f}" stroke="{colour}" stroke-width="2"/>'
        yield label(name[-LONGEST:], right + SWATCH - 2, y + 4)


def colour_of(curve: Curve, number: int) -> str:
    """The colour of a curve at a place among others."""
    return COLOURS[(number if curve.colour is None else curve.colour) % len(COLOURS)]


def colours_of(names: Sequence[str], known: Sequence[str]) -> dict[str, int]:
    """The number of the colour of each name; those that are not known share the others."""
    own = {name: known.index(name) for name in names if name in known}
    free = chain(sorted({*range(len(COLOURS))} - {*own.values()}), count())
    return {name: own[name] if name in own else next(free) for name in names}


def _plot(curves: Sequence[Curve], area: Area, levels: Sequence[float]) -> str:
    """The curves; what lies outside of the axes is cut off."""
    dashed = f'stroke="{GREY}" stroke-dasharray="5 4"'
    parts = [_line(area.y(value), area.width, dashed) for value in levels]
    for number, curve in enumerate(curves):
        parts += _drawn(curve, area, colour_of(curve, number))
    left, top, size = LEFT - EDGE, TOP - EDGE, (area.width + 2 * EDGE, area.height + 2 * EDGE)
    # an inner <svg> cuts what is outside of it; a clipPath needs a name that no other chart has
    return (
        f'<svg x="{left}" y="{top}" width="{size[0]}" height="{size[1]}" '
        f'viewBox="{left} {top} {size[0]} {size[1]}">{"".join(parts)}</svg>'
    )


def _drawn(curve: Curve, area: Area, colour: str) -> Iterator[str]:
    """The band of a curve, its line and its marks."""
    points, name = curve.drawn, as_html(curve.name)
    if not points:
        return
    if curve.band:
        outline, opacity = _joined(curve.band, area), 0.9 if curve.area else 0.15
        yield f'<polygon points="{outline}" fill="{colour}" fill-opacity="{opacity}"/>'
    if curve.area:
        return
    # a place on the horizontal axis, a step or a number of characters, is not rounded
    dashes = ' stroke-dasharray="7 4"' * curve.dashed
    values = " ".join(
        f"{x:.0f},{y:.5g}" if x.is_integer() else f"{x:.6g},{y:.5g}" for x, y in points
    )
    yield (
        f'<polyline points="{_joined(points, area)}" data-name="{name}" data-values="{values}" '
        f'fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"{dashes}/>'
    )
    if len(points) > MARKED:
        return
    name = f"{name}: " * bool(name)
    for x, y in points:
        shown = short(y) if area.y_axis.log else f"{y:.4f}"
        yield (
            f'<circle cx="{area.x(x):.1f}" cy="{area.y(y):.1f}" r="2.5" fill="{colour}">'
            f"<title>{name}{short(x)}, {shown}</title></circle>"
        )


def _joined(points: Sequence[Point], area: Area) -> str:
    return " ".join(f"{area.x(x):.1f},{area.y(y):.1f}" for x, y in points)


# ---- text


def text(
    curves: Sequence[Curve],  # which are drawn without their bands
    *,
    width: int,  # columns of the text, at least 20
    height: int,  # lines of the chart, without the line of the horizontal axis
    highest: float | None = None,  # the highest value to show
    plain: bool = False,  # use ASCII characters only: the curves are a, b, c, ...
) -> list[str]:
    """Curves as lines of text, in braille dots, or in letters if ``plain``."""
    axes = axes_around(curves, highest)
    if axes is None:
        return []
    x_axis, y_axis = axes
    labels = {}
    for line in (0, (height - 1) // 2, height - 1):
        share = line / max(1, height - 1)
        labels[line] = f"{y_axis.high * (1 - share) + y_axis.low * share:.4g}"
    margin = max(map(len, labels.values())) + 1
    columns = width - margin - 1
    edge = "|" if plain else "│"
    rows = enumerate(_rows(curves, axes, columns, height, plain))
    lines = [f"{labels.get(n, ''):>{margin}}{edge}{row}".rstrip() for n, row in rows]
    first, last = short(x_axis.low), short(x_axis.high)
    return [*lines, f"{'':{margin + 1}}{first}{last:>{max(1, columns - len(first))}}"]


def _rows(
    curves: Sequence[Curve], axes: Axes, columns: int, height: int, plain: bool
) -> Iterator[str]:
    cells = [[" "] * columns for _ in range(height)]
    dots_across, dots_down = (1, 1) if plain else (2, 4)  # of a character
    area = Area(*axes, dots_across * columns - 1, dots_down * height - 1)
    for number, curve in enumerate(curves):
        for column, row in _traced(curve, area):
            cell = cells[row // dots_down]
            braille = max(ord(cell[column // dots_across]), 0x2800) | DOTS[row % 4][column % 2]
            cell[column // dots_across] = letter(number) if plain else chr(braille)
    return map("".join, cells)


def letter(number: int) -> str:
    """The letter that a plain chart draws a curve with."""
    return chr(ord("a") + number % 26)


def _traced(curve: Curve, area: Area) -> Iterator[tuple[int, int]]:
    """The columns and rows of a curve below the top, with straight lines between its points."""
    places = [(area.x(x), area.y(y)) for x, y in curve.drawn]
    for (x0, y0), (x1, y1) in zip(places, places[1:] or places, strict=False):
        steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
        for n in range(steps + 1):
            row = round(y0 + n / steps * (y1 - y0))
            if row >= 0:
                yield round(x0 + n / steps * (x1 - x0)), min(row, round(area.height))
