"""Draw all compositions of routes over a few steps as a tree, with the share of each."""

from grucli.analysis.route_shares import RouteShares
from grucli.charts import COLOURS, ROUTES, SLIDE_HEIGHT, WIDTH, colours_of, drawing, label
from grucli.errors import UsageError
from grucli.nn.cells import CELLS, Route

MOST_DRAWN = 128  # compositions; more do not fit a figure

# in pixels
LOW, HIGH = 13, 22  # the least and the greatest height of a row
LEFT, TOP, BOTTOM = 16, 64, 8
LINES, BARS, BAR = 370, 480, 170  # where the lines end and the bars begin, and the longest bar
LEVEL = 92  # the level end of a line, below the name of its route
THIN, THICK = 1.2, 10  # width of a line without a share, and what the whole gradient adds


def draw_tree(result: RouteShares) -> str:
    """All compositions as SVG; the width of a line is the share of all that go through it."""
    k, number = result.enumeration.k, len(result.enumeration.contributions)
    if number > MOST_DRAWN:
        raise UsageError(
            f"{number:,} compositions are too many for a figure, which shows {MOST_DRAWN} at most: "
            "go back fewer steps"
        )
    tree = _Tree(result)
    tree.draw((), "h")
    what = f"{result.subject.words}: the {number} compositions of {k} route{'s' * (k > 1)}"
    tree.parts.append(label(f"{what}, with their shares of the gradient", LEFT, 18))
    for step in range(k + 1):
        name, anchor = (f"step t-{step}", "end") if step else ("step t", "")
        tree.parts.append(label(name, tree.x(step), TOP - 16, anchor))
    size = WIDTH, round(tree.below + BOTTOM)
    return drawing("".join(tree.parts), *size, x="steps back", y=what, slide=True)


class _Tree:
    """The lines, names and bars, drawn from above to below."""

    def __init__(self, result: RouteShares) -> None:
        self.k, self.cell = result.enumeration.k, CELLS[result.subject.lm.model.cell]
        self.shares = {one.name: one.share for one in result.enumeration.contributions}
        self.row = max(LOW, min(HIGH, (SLIDE_HEIGHT - TOP - BOTTOM) / len(self.shares)))
        numbers = colours_of([route.name for route in self.cell.ROUTES], ROUTES)
        self.routes = sorted(self.cell.ROUTES, key=lambda route: numbers[route.name])
        self.colours = {name: COLOURS[number % len(COLOURS)] for name, number in numbers.items()}
        self.below, self.parts = float(TOP), list[str]()

    def x(self, step: int) -> float:
        return LEFT + (LINES - LEFT) * step / self.k

    def draw(self, names: tuple[str, ...], state: str) -> tuple[float, float]:
        """Draw all that follows some routes; return the height of their end, and the share."""
        if len(names) == self.k:
            return self._draw_bar(names)
        routes = [route for route in self.routes if route.start == state]
        ends = [self.draw((*names, route.name), route.end) for route in routes]
        start = sum(y for y, _ in ends) / len(ends)
        for route, end in zip(routes, ends, strict=True):
            self._draw_line(len(names), start, route, *end)
        return start, sum(share for _, share in ends)

    def _draw_bar(self, names: tuple[str, ...]) -> tuple[float, float]:
        """The share of a composition as a bar, a pale one if it is negative, and in numbers."""
        share, y = self.shares[" > ".join(names)], self.below + self.row / 2
        self.below += self.row
        width = BAR * abs(share) / (max(map(abs, self.shares.values())) or 1.0)
        self.parts += [
            f'<rect x="{BARS}" y="{y - 5:g}" width="{width:.1f}" height="10" '
            f'fill="{self.colours[names[-1]]}" fill-opacity="{0.4 if share < 0 else 1}"/>',
            label(f"{round(share, 3) + 0.0:.1%}", WIDTH - 10, y + 4, "end"),  # no zero below zero
        ]
        return y, share

    def _draw_line(self, step: int, start: float, route: Route, y: float, share: float) -> None:
        x, end = self.x(step), self.x(step + 1)
        level, width = end - LEVEL, THIN + THICK * min(1.0, abs(share))
        bend = f"{(x + level) / 2:g} {start:g} {(x + level) / 2:g} {y:g} {level:g} {y:g}"
        name = route.name if len(self.cell.STATE) == 1 else f"{route.name}, to {route.end}"
        last = step + 1 == self.k
        self.parts += [
            f'<path d="M{x:g} {start:g}C{bend}H{end:g}" fill="none" '
            f'stroke="{self.colours[route.name]}" stroke-width="{width:.1f}"/>',
            label(name, end + 6, y + 4) if last else label(name, level, y - width / 2 - 3),
        ]
