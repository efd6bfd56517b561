"""Charts of curves: as SVG for pages and files, and as text for terminals."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from grucli.web_page import as_html

COLOURS = ("#1668c7", "#d9541e", "#2f9e66", "#a463c8", "#b9962b", "#4a9aa8", "#c7447e", "#7a7f8a")
"""Colours that differ in lightness too, and can be read on light and dark paper."""

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 48
"""Margins of the axes in pixels, without the key."""

GREY = "#757575"
"""Colour of the texts: contrast 4.5 on white. A page overrules it by its style."""

TICKS = 5
"""About how many marks an axis has."""

KEY_LINE, SWATCH, CHARACTER, GAP = 18, 18, 7.5, 16
"""Of the key, in pixels: the height of a line, the width of a colour, about the width of a
character, and the room after a name."""

EDGE = 4
"""Pixels around the plot where curves and their marks are still drawn."""

FARTHEST = 1e5
"""Largest distance of a point above the plot; a point that is farther away is drawn there."""

SMALLEST, CLOSEST = 1e-290, 1e-12
"""An axis shows smaller numbers as 0, and numbers as equal that differ by a smaller share of
themselves: a float has only 15 digits, and no number below 5e-324."""

PARTS = 200
"""A longer curve is cut into so many parts, and drawn from the lowest and highest point of each."""

MARKED = 120
"""Points up to which each of a curve has a mark with its numbers."""

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the dots of a braille character, by row and column (Unicode, chapter 21.1)."""


Place = tuple[float, float]
"""A point of a curve, or of a chart from the upper left corner of its plot."""


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        name: its name in the key; empty for none.
        x: the places of its points, ascending.
        y: their values; points that are not finite are left out.
        colour: number of its colour; None for its place among the curves.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = None

    @cached_property
    def points(self) -> list[Place]:
        """The finite points."""
        pairs = zip(map(float, self.x), map(float, self.y), strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]

    @cached_property
    def drawn(self) -> list[Place]:
        """The points that are drawn: of a long curve its ends, and what is lowest and highest."""
        points, size = self.points, -(-len(self.points) // PARTS)
        if size < 3:
            return points
        kept = {0, len(points) - 1}
        for start in range(0, len(points), size):
            part = range(start, min(start + size, len(points)))
            kept |= {choose(part, key=lambda n: points[n][1]) for choose in (min, max)}
        return [points[n] for n in sorted(kept)]


@dataclass(frozen=True)
class Axes:
    """The range of a chart."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, curves: Sequence[Curve], highest: float | None = None) -> "Axes | None":
        """The range of all points; None without points.

        Args:
            curves: the curves.
            highest: the highest value to show, so that the beginning of a curve does not flatten
                the rest.
        """
        points = [point for curve in curves for point in curve.points]
        if not points:
            return None
        xs, ys = zip(*points, strict=True)
        top = max(ys) if highest is None else min(max(ys), max(highest, min(ys)))
        return cls(_range(min(xs), max(xs)), _range(min(ys), top))

    def place(self, x: float, y: float, width: float, height: float) -> Place:
        """A point of a rectangle, from its upper left corner; values above the range are above."""
        top = (1 - _share(y, *self.y)) * height
        return _share(x, *self.x) * width, max(-FARTHEST, top)


def _range(low: float, high: float) -> tuple[float, float]:
    """The range of an axis; numbers that it cannot tell apart are in its middle."""
    size = max(abs(low), abs(high))
    size = 1.0 if size < SMALLEST else size
    if high - low > CLOSEST * size:
        return low, high
    largest = sys.float_info.max
    return max(low - size / 2, -largest), min(high + size / 2, largest)


def _share(value: float, low: float, high: float) -> float:
    """Where a value is between the ends of a range, from 0 to 1; their difference may overflow."""
    return (value / 4 - low / 4) / (high / 4 - low / 4)


def typical_top(curves: Sequence[Curve]) -> float | None:
    """A value above which only the first tenth of a falling curve lies."""
    tops = [
        sorted(y for _, y in curve.points)[-1 - len(curve.points) // 10]
        for curve in curves
        if curve.points
    ]
    return max(tops, default=None)


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    rough = high / count - low / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for an axis: 1500 is 1.5k."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e15:
            return f"{value / size:.6g}{sign}"
    return f"{value:.4g}"


# ---- SVG


def svg(
    curves: Sequence[Curve],
    *,
    x: str,
    y: str,
    highest: float | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    key: bool = True,
) -> str:
    """Curves as SVG, without scripts; empty if there are no points.

    Args:
        curves: the curves.
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
        highest: the highest value to show; curves leave the plot above it.
        width: width in pixels.
        height: height in pixels of the plot and its axes; the key is added to it.
        key: whether the names of several curves are above the plot.
    """
    axes = Axes.around(curves, highest)
    if axes is None:
        return ""
    names, room = _key(curves, width) if key and len(curves) > 1 else ("", 0)
    inner = width - LEFT - RIGHT, height - TOP - BOTTOM
    grid = "".join(_grid(axes, *inner)) + _names(x, y, width, height)
    plot = _plot(curves, axes, *inner)
    whole = f'{names}<g transform="translate(0 {room})">{grid}{plot}</g>' if room else grid + plot
    label = as_html(f"{y} by {x}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + room}" '
        f'width="{width}" height="{height + room}" role="img" aria-label="{label}" '
        f'data-x="{as_html(x)}" font-family="sans-serif" font-size="12">{whole}</svg>'
    )


def _plot(curves: Sequence[Curve], axes: Axes, width: float, height: float) -> str:
    """The curves; what lies outside of the axes is cut off."""
    drawn = "".join(
        part
        for number, curve in enumerate(curves)
        for part in _drawn(curve, axes, colour_of(curve, number), width, height)
    )
    left, top, size = LEFT - EDGE, TOP - EDGE, (width + 2 * EDGE, height + 2 * EDGE)
    # an inner <svg> cuts what is outside of it; a clipPath needs a name that no other chart has
    return (
        f'<svg x="{left}" y="{top}" width="{size[0]}" height="{size[1]}" '
        f'viewBox="{left} {top} {size[0]} {size[1]}">{drawn}</svg>'
    )


def colour_of(curve: Curve, number: int) -> str:
    """The colour of a curve at a place among others."""
    return COLOURS[(number if curve.colour is None else curve.colour) % len(COLOURS)]


def _grid(axes: Axes, width: float, height: float) -> Iterator[str]:
    for value in ticks(*axes.y):
        _, at = axes.place(axes.x[0], value, width, height)
        yield (
            f'<path d="M{LEFT} {TOP + at:.1f}h{width}" stroke="#8888" stroke-width="0.5"/>'
            f'<text x="{LEFT - 6}" y="{TOP + at + 4:.1f}" text-anchor="end" fill="{GREY}">'
            f"{short(value)}</text>"
        )
    for value in ticks(*axes.x):
        at, _ = axes.place(value, axes.y[0], width, height)
        yield (
            f'<text x="{LEFT + at:.1f}" y="{TOP + height + 18:.1f}" text-anchor="middle" '
            f'fill="{GREY}">{short(value)}</text>'
        )


def _names(x: str, y: str, width: float, height: float) -> str:
    return (
        f'<text x="{width - RIGHT}" y="{height - 6}" text-anchor="end" fill="{GREY}">'
        f"{as_html(x)}</text>"
        f'<text x="{LEFT}" y="{height - 6}" fill="{GREY}">{as_html(y)}</text>'
    )


def _key(curves: Sequence[Curve], width: float) -> tuple[str, int]:
    """The names of the curves with their colours, in lines above the plot, and their height."""
    parts, at, line = [], float(LEFT), 1
    for number, curve in enumerate(curves):
        size = SWATCH + GAP + CHARACTER * len(curve.name)
        if at > LEFT and at + size > width:
            at, line = float(LEFT), line + 1
        y = TOP + KEY_LINE * line - 8
        parts.append(
            f'<path d="M{at:.0f} {y - 4}h{SWATCH - 5}" stroke="{colour_of(curve, number)}" '
            f'stroke-width="3"/><text x="{at + SWATCH:.0f}" y="{y}" fill="{GREY}">'
            f"{as_html(curve.name)}</text>"
        )
        at += size
    return "".join(parts), KEY_LINE * line


def _drawn(curve: Curve, axes: Axes, colour: str, width: float, height: float) -> Iterator[str]:
    places = [axes.place(px, py, width, height) for px, py in curve.drawn]
    if not places:
        return
    places = [(LEFT + at_x, TOP + at_y) for at_x, at_y in places]
    line = " ".join(f"{at_x:.1f},{at_y:.1f}" for at_x, at_y in places)
    values = " ".join(f"{_exact(px)},{py:.5g}" for px, py in curve.drawn)
    name = as_html(curve.name)
    yield (
        f'<polyline points="{line}" data-name="{name}" data-values="{values}" fill="none" '
        f'stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'
    )
    if len(places) > MARKED:
        return
    name = f"{name}: " * bool(name)
    for (px, py), (at_x, at_y) in zip(curve.drawn, places, strict=True):
        yield (
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="2.5" fill="{colour}">'
            f"<title>{name}{short(px)}, {py:.4f}</title></circle>"
        )


def _exact(place: float) -> str:
    """A place on the horizontal axis: a step or a number of characters is not rounded."""
    return f"{place:.0f}" if place.is_integer() else f"{place:.6g}"


# ---- text


def text(
    curves: Sequence[Curve],
    *,
    width: int,
    height: int,
    highest: float | None = None,
    plain: bool = False,
) -> list[str]:
    """Curves as lines of text, in braille dots, or in letters if ``plain``.

    Args:
        curves: the curves.
        width: columns of the text, at least 20.
        height: lines of the chart, without the line of the horizontal axis.
        highest: the highest value to show.
        plain: use ASCII characters only: the curves are a, b, c, ...
    """
    axes = Axes.around(curves, highest)
    if axes is None:
        return []
    labels = {line: f"{value:.4g}" for line, value in _rows(axes, height)}
    margin = max(map(len, labels.values())) + 1
    columns = width - margin - 1
    cells = (
        _letters(curves, axes, columns, height) if plain else _dots(curves, axes, columns, height)
    )
    edge = "|" if plain else "│"
    lines = [f"{labels.get(n, ''):>{margin}}{edge}{row}".rstrip() for n, row in enumerate(cells)]
    first, last = short(axes.x[0]), short(axes.x[1])
    return [*lines, f"{'':{margin + 1}}{first}{last:>{max(1, columns - len(first))}}"]


def _rows(axes: Axes, height: int) -> Iterator[tuple[int, float]]:
    """The lines that have a label, with their values: the first, the middle and the last."""
    low, high = axes.y
    for line in sorted({0, (height - 1) // 2, height - 1}):
        share = line / max(1, height - 1)
        yield line, high * (1 - share) + low * share


def _dots(curves: Sequence[Curve], axes: Axes, columns: int, height: int) -> list[str]:
    bits = [[0] * columns for _ in range(height)]
    for curve in curves:
        for column, row in _traced(curve, axes, 2 * columns, 4 * height):
            bits[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in bits]


def letter(number: int) -> str:
    """The letter that a plain chart draws a curve with."""
    return chr(ord("a") + number % 26)


def _letters(curves: Sequence[Curve], axes: Axes, columns: int, height: int) -> list[str]:
    cells = [[" "] * columns for _ in range(height)]
    for number, curve in enumerate(curves):
        for column, row in _traced(curve, axes, columns, height):
            cells[row][column] = letter(number)
    return ["".join(row) for row in cells]


def _traced(curve: Curve, axes: Axes, width: int, height: int) -> Iterator[tuple[int, int]]:
    """The dots of a curve, with straight lines between its points."""
    places = [axes.place(px, py, width - 1, height - 1) for px, py in curve.drawn]
    for start, end in zip(places, places[1:] or places, strict=False):
        cut = _below_the_top(start, end)
        if cut is None:
            continue
        (x0, y0), (x1, y1) = cut
        steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
        for n in range(steps + 1):
            share = n / steps
            row = round(y0 + share * (y1 - y0))
            yield round(x0 + share * (x1 - x0)), min(max(row, 0), height - 1)


def _below_the_top(a: Place, b: Place) -> tuple[Place, Place] | None:
    """The part of a line between two points that is not above the chart, if there is one."""
    (x0, y0), (x1, y1) = a, b
    if y0 < 0 and y1 < 0:
        return None
    if y0 >= 0 and y1 >= 0:
        return a, b
    top = x0 + (x1 - x0) * (y0 / (y0 - y1)), 0.0
    return (top, b) if y0 < 0 else (a, top)
