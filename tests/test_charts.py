import re
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grucli.charts import PARTS, Area, Curve, axes_around, short, svg, text, ticks, typical_top

FALLING = Curve("falling", range(10), [10.0, *(2 - n / 10 for n in range(9))])
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_within_the_range(low: float, size: float) -> None:
    found = ticks(low, low + size)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-6 * size <= tick <= low + (1 + 1e-6) * size for tick in found)
    steps = {round((b - a) / size, 6) for a, b in pairwise(found)}
    assert len(steps) == 1


def test_numbers_of_axes_are_short() -> None:
    assert [short(value) for value in (0.05, 1.5, 1500, 2e6, 3e9)] == [
        "0.05",
        "1.5",
        "1.5k",
        "2M",
        "3G",
    ]
    assert [short(value) for value in (1e15, 1e-6, -2.5e-7)] == [
        "10\xb9\u2075",
        "10\u207b\u2076",
        "-2.5\xb710\u207b\u2077",
    ]


def test_points_that_are_not_finite_are_left_out() -> None:
    curve = Curve("", [0, 1, 2, float("inf")], [1.0, float("nan"), 2.0, 1.0])
    assert curve.points == [(0.0, 1.0), (2.0, 2.0)]
    assert axes_around([Curve("", [1], [float("nan")])]) is None
    assert svg([], x="x", y="y") == ""
    assert text([], width=60, height=5) == []


def test_the_beginning_does_not_flatten_the_rest() -> None:
    top = typical_top([FALLING])
    assert top == 2.0
    axes = axes_around([FALLING], top)
    assert axes is not None
    assert (axes[1].low, axes[1].high) == (pytest.approx(1.2), 2.0)
    assert typical_top([]) is None


def test_svg_is_well_formed_and_holds_every_point_with_its_name() -> None:
    hostile = Curve('</svg><script>"&\x1b\ufffe\uffff', [0, 1], [1.0, 2.0])
    drawn = svg([FALLING, hostile], x="<step>", y="loss & more", highest=2.0)
    root = ElementTree.fromstring(drawn)  # raises if it is not well-formed
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 2
    assert names.count("circle") == 12
    assert "script" not in names
    for points in re.findall(r'points="([^"]+)"', drawn):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 720
            assert y <= 280


def test_a_curve_leaves_the_plot_upwards_where_it_is_above_the_range() -> None:
    root = ElementTree.fromstring(svg([FALLING], x="step", y="loss", highest=2.0))
    (plot,) = (one for one in root if one.tag.endswith("svg"))  # it cuts what is outside
    _, top, _, _ = map(float, plot.attrib["viewBox"].split())
    (line,) = (one for one in plot if one.tag.endswith("polyline"))
    heights = [float(point.partition(",")[2]) for point in line.attrib["points"].split()]
    assert heights[0] < top - 100
    assert min(heights[1:]) > top
    assert line.attrib["data-values"].startswith("0,10 1,2 ")
    plateau = Curve("", range(20), [10.0] * 10 + [2 - n / 10 for n in range(10)])
    lines = text([plateau], width=60, height=6, highest=2.0, plain=True)
    assert not lines[0].partition("|")[2][:20].strip()  # nothing that lies above is drawn
    for value in (1e30, 1e300):
        assert text([Curve("", [0, 1, 2], [value, 1, 2])], width=60, height=6, highest=2.0)


def names_beside(drawn: str) -> dict[str, float]:
    """The texts to the right of the plot, with their heights."""
    root = ElementTree.fromstring(drawn)
    (plot,) = (one for one in root if one.tag.endswith("}svg"))
    right = float(plot.attrib["x"]) + float(plot.attrib["width"])
    texts = (one for one in root if one.tag.endswith("}text"))
    return {
        str(one.text): float(one.attrib["y"]) for one in texts if float(one.attrib["x"]) > right
    }


@pytest.mark.parametrize("y", [0.0, 1.0, 2.0])
def test_the_names_of_curves_are_beside_their_ends_and_apart(y: float) -> None:
    curves = [Curve(f"run {n}", [0, 1], [1.0, y + n / 1000]) for n in range(6)]
    curves += [Curve("low", [0, 1], [1.0, 0.0]), Curve("high", [0, 1], [1.0, 2.0])]
    found = names_beside(svg(curves, x="step", y="loss"))
    assert found.keys() == {curve.name for curve in curves}
    heights = sorted(found.values())
    assert min(b - a for a, b in pairwise(heights)) >= 14.9
    assert heights[0] >= 30
    assert heights[-1] <= 280 - 30
    assert found["low"] > found["high"]
    assert not names_beside(svg(curves, x="step", y="loss", key=False))
    long = [Curve(f"{'a long name of a run, ' * 9}number {n}", [0, 1], [1, 2]) for n in range(2)]
    assert [name[-9:] for name in names_beside(svg(long, x="x", y="y"))] == [
        " number 0",
        " number 1",
    ]


def test_all_names_of_many_curves_are_in_the_picture() -> None:
    curves = [Curve(f"run {n:02}", [0, 1], [1.0, n / 40]) for n in range(40)]
    picture = svg(curves, x="step", y="loss")
    height = float(ElementTree.fromstring(picture).attrib["viewBox"].split()[3])
    heights = sorted(names_beside(picture).values())
    assert len(heights) == 40
    assert heights[-1] <= height
    assert min(b - a for a, b in pairwise(heights)) >= 14.9


def test_a_figure_for_slides_is_as_wide_as_one_and_has_paper_of_its_own() -> None:
    drawn = svg([FALLING], x="step", y="loss", slide=True)
    root = ElementTree.fromstring(drawn)
    assert (root.attrib["width"], root.attrib["height"]) == ("1280", "720")
    assert root.attrib["viewBox"] == "0 0 720 405"
    assert "prefers-color-scheme:dark" in drawn
    assert drawn.index('class="paper"') < drawn.index("<text")
    assert "<style" not in svg([FALLING], x="step", y="loss")  # a page has its own


def test_steps_and_characters_are_not_rounded() -> None:
    assert 'data-values="1234567,1 ' in svg([Curve("", [1234567, 1234568], [1, 2])], x="x", y="y")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_text_fits_its_width_and_shows_where_the_curve_is(width: int, plain: bool) -> None:
    lines = text([FALLING], width=width, height=6, highest=2.0, plain=plain)
    assert len(lines) == 7
    assert max(map(len, lines)) <= width
    assert lines[0].lstrip().startswith("2")
    assert lines[-1].split() == ["0", "9"]
    blank = " " if plain else "\u2800"
    drawn = [re.split("[|│]", line)[1].rstrip(blank) for line in lines[:-1]]
    assert drawn[0].lstrip()  # the curve comes in from above,
    assert len(drawn[-1]) > len(drawn[0])  # and ends at the bottom, on the right
    if plain:
        assert set("".join(drawn)) <= {"a", " "}
        assert all(ord(character) < 128 for line in lines for character in line)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=8), st.booleans())
@example([(20.0, 3.9)], False)
@example([(30720.0, 3.9)], False)
@example([(0.0, 0.0), (1.0, 0.0)], True)
@example([(1e15, 1e15), (1e15 + 0.125, 1e15 + 0.125)], False)
@example([(1e308, 1e308), (1.7e308, 1e308)], True)
@example([(-1.7e308, 1.7e308), (1.7e308, -1.7e308)], False)
@example([(5e-324, 5e-324), (1.0, 5e-324)], False)
@example([(0.0, 1e308), (1.0, 5e-324), (2.0, 5e-324)], True)
def test_any_finite_points_are_drawn(points: list[tuple[float, float]], plain: bool) -> None:
    x, y = zip(*sorted(points), strict=True)
    curve = Curve("", x, y)
    for highest in (None, typical_top([curve])):
        root = ElementTree.fromstring(svg([curve], x="x", y="y", highest=highest))
        marks = [one for one in root.iter() if one.tag.endswith("circle")]
        assert len(marks) == len(points)
        places = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in marks]
        assert all(50 <= at_x <= 720 and at_y <= 280 for at_x, at_y in places)
        assert highest is not None or min(at_y for _, at_y in places) >= 0
        lines = text([curve], width=60, height=6, highest=highest, plain=plain)
        assert len(lines) == 7
        assert max(map(len, lines)) <= 60
        assert any(re.split("[|│]", line)[1].strip() for line in lines[:-1])


def test_equal_values_and_a_single_step_are_in_the_middle() -> None:
    for value in (3.9, 1e15, -1e15, 1e308, 5e-324, 0.0):
        axes = axes_around([Curve("", [20], [value])])
        assert axes is not None
        area = Area(*axes, 100, 100)
        assert (area.x(20), area.y(value)) == pytest.approx((50, 50), abs=1)
        assert len(axes[1].ticks()) >= 2


def test_a_long_curve_is_drawn_from_few_points_with_its_ends_and_its_extremes() -> None:
    y = [2 - n / 20000 for n in range(20000)]
    y[777], y[12345] = 0.1, 9.0
    curve = Curve("", range(20000), y)
    assert len(curve.points) == 20000
    assert len(curve.drawn) <= 2 * PARTS + 2
    assert {(777.0, 0.1), (12345.0, 9.0), curve.points[0], curve.points[-1]} <= set(curve.drawn)
    assert curve.drawn == sorted(curve.drawn)
    assert len(svg([curve], x="step", y="loss")) < 20000
    assert FALLING.drawn == FALLING.points


def marks(drawn: str) -> list[str]:
    """The texts of the vertical axis, from below."""
    return re.findall(
        r'text-anchor="end" fill="#\d+">([^<]+)</text>', drawn.partition("<svg x=")[0]
    )


def test_a_logarithmic_axis_has_powers_of_ten_and_leaves_out_what_has_none() -> None:
    curve = Curve("", [0, 1, 2, 3], [1.0, 1e-2, 1e-4, 0.0])
    axes = axes_around([curve], log="y")
    assert axes is not None
    steps, norms = axes
    assert (norms.low, norms.high, norms.log, steps.log) == (-4.0, 0.0, True, False)
    assert norms.ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    *above, zero = [Area(*axes, 100, 100).y(y) for _, y in curve.points]
    assert above == pytest.approx([0, 50, 100])
    assert zero > 1000  # below the plot, which cuts it off
    powers = ["10\u207b\u2074", "10\u207b\xb3", "10\u207b\xb2", "10\u207b\xb9", "1"]
    assert marks(svg([curve], x="x", y="y", log="y"))[:5] == powers
    wide = Curve("", [0, 1], [1, 1e15])
    assert marks(svg([wide], x="x", y="y", log="y"))[:3] == ["1", "10\xb2", "10\u2074"]
    near = Curve("", [0, 1], [1.0, 1e-2])
    assert marks(svg([near], x="x", y="y", log="y"))[:3] == ["0.01", "0.02", "0.05"]
    deep = axes_around([Curve("", [1, 10, 100], [1.0, 1e-20, 1e-29])], log="xy")
    assert deep is not None
    assert deep[1].ticks()[-2:] == pytest.approx([1e-3, 1.0])  # with the power 0
    assert deep[0].ticks() == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert Area(*deep, 100, 100).x(10) == pytest.approx(50)


@given(st.lists(st.floats(0, sys.float_info.max), min_size=1, max_size=8))
@example([1e308])
@example([1e308, sys.float_info.max])
@example([5e-324, sys.float_info.max])
@example([0.0])
def test_any_values_are_drawn_on_a_logarithmic_axis(values: list[float]) -> None:
    curve = Curve("", range(len(values)), values)
    root = ElementTree.fromstring(svg([curve], x="x", y="y", log="y", levels=[0.01]))
    marked = [one for one in root.iter() if one.tag.endswith("circle")]
    assert len(marked) == len(values)
    axes = axes_around([curve], log="y")
    assert axes is not None
    _, vertical = axes
    assert all(0 <= vertical.share(tick) <= 1 for tick in vertical.ticks())
    assert 0 <= vertical.share(max(values)) <= 1 or not any(values)


def test_a_band_is_drawn_around_a_curve_and_lies_within_the_axes() -> None:
    y = [2.0, 1.0, 1.5]
    curve = Curve("c", [0, 1, 2], y, low=[one - 0.5 for one in y], high=[one * 2 for one in y])
    axes = axes_around([curve])
    assert axes is not None
    assert (axes[1].low, axes[1].high) == (0.5, 4.0)
    drawn = svg([curve], x="x", y="y", levels=[1.0])
    (outline,) = re.findall(r'<polygon points="([^"]+)"', drawn)
    assert len(outline.split()) == 6
    assert drawn.count("stroke-dasharray") == 1
    assert drawn.index("polygon") < drawn.index("polyline")  # the curve is above its band
    assert drawn == svg([curve], x="x", y="y", levels=[1.0])
