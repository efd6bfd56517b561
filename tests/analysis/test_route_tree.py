"""The tree of compositions."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from grucli.analysis.route_tree import draw_tree
from grucli.charts import COLOURS, ROUTES
from grucli.errors import UsageError
from tests.analysis.test_route_shares import measured


@pytest.mark.parametrize(("cell", "k", "lines", "ends"), [("gru", 2, 20, 16), ("lstm", 2, 29, 24)])
def test_each_composition_is_a_way_with_its_share(cell: str, k: int, lines: int, ends: int) -> None:
    result = measured(cell, k)
    drawn = draw_tree(result)
    texts = [one.text for one in ElementTree.fromstring(drawn).iter() if one.text]
    assert f"the {ends} compositions of 2 routes" in drawn
    assert drawn.count("<path") == lines  # 4 + 16, and 5 + 24
    assert drawn.count("%</text>") == ends
    assert {"step t", "step t-1", "step t-2"} <= set(texts)
    shares = [float(text.rstrip("%")) for text in texts if text.endswith("%")]
    assert sum(shares) == pytest.approx(100, abs=0.05 * ends)
    assert "-0.0%" not in texts
    first = next(text for text in texts if text.startswith("direct"))
    assert first == ("direct, to c" if cell == "lstm" else "direct")
    places = [float(y) for y in re.findall(r' y="([\d.]+)" text-anchor="end"', drawn)]
    assert max(places) < 405
    assert drawn.count(f'stroke="{COLOURS[ROUTES.index("candidate")]}"') in (5, 6)


def test_what_carries_more_is_wider_and_what_works_against_it_is_pale() -> None:
    result = measured("gru", 1)
    for name, wide in (("direct", "9.2"), ("reset", "3.2")):
        shares = [
            replace(one, share={"direct": 0.8, "reset": -0.2}.get(one.name, 0.2))
            for one in result.enumeration.contributions
        ]
        drawn = draw_tree(
            replace(result, enumeration=replace(result.enumeration, contributions=shares))
        )
        colour = COLOURS[ROUTES.index(name)]
        assert f'stroke="{colour}" stroke-width="{wide}"' in drawn
    assert drawn.count('fill-opacity="0.4"') == 1
    assert ">-20.0%</text>" in drawn


def test_more_compositions_than_a_figure_holds_are_refused() -> None:
    with pytest.raises(UsageError, match="256 compositions are too many for a figure"):
        draw_tree(measured("gru", 4))
