import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grucli.analysis import route_shares
from grucli.analysis.gradient_flow import norms_by_distance
from grucli.analysis.gradient_routes import History, look_back_in_text
from grucli.analysis.route_shares import RouteShares
from grucli.analysis.subject import Subject, untrained
from grucli.charts import COLOURS, ROUTES, colours_of
from grucli.data.vocabulary import Vocabulary
from grucli.errors import UsageError
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS
from grucli.nn.model import Model

IDS = np.random.default_rng(0).integers(0, 7, 400)


def model(cell: str, H: int = 6) -> Model:
    model = Model(7, H, 1, cell=cell)
    model.initialize(np.random.default_rng(1))
    return model


def measured(cell: str, steps_back: int) -> RouteShares:
    """The routes of an untrained model."""
    lm = LanguageModel(model(cell), Vocabulary(np.arange(7)), np.ones(7, np.int64))
    return route_shares.measure(Subject("a model", lm, IDS), steps_back, 3, positions=5)


@pytest.mark.parametrize("cell", CELLS)
def test_shares_add_up_to_one(cell: str) -> None:
    past = look_back_in_text(model(cell), IDS, 3, positions=5)
    enumeration = route_shares.enumerate_routes(past, 3)
    assert sum(one.share for one in enumeration.contributions) == pytest.approx(1.0)
    assert enumeration.difference < 1e-10
    sizes = [abs(one.share) for one in enumeration.contributions]
    assert sizes == sorted(sizes, reverse=True)
    for named in route_shares.shares_by_distance(past).values():
        assert sum(named.values()) == pytest.approx(1.0)


def test_a_composition_is_named_from_the_latest_step_back() -> None:
    past = look_back_in_text(model("gru"), IDS, 2, positions=5)
    names = {one.name for one in route_shares.enumerate_routes(past, 2).contributions}
    assert len(names) == 16
    (composition, carried), *_ = (
        (routes, gradient)
        for routes, gradient in past.follow(2)
        if [route.name for route in routes] == ["update", "direct"]
    )
    update, direct = composition
    latest, before = past.steps
    by_hand = direct.carry(past.w, before, update.carry(past.w, latest, past.gradient))
    np.testing.assert_allclose(carried, by_hand)
    assert "update > direct" in names


@pytest.mark.parametrize("cell", CELLS)
def test_shares_are_means_over_the_places(cell: str) -> None:
    past = look_back_in_text(model(cell), IDS, 3, positions=5)

    def only(place: int) -> History:
        return replace(
            past,
            steps=[
                type(step)(*(a[..., place : place + 1, :] for a in step)) for step in past.steps
            ],
            reset_mask=past.reset_mask[:, place : place + 1],
            gradient=past.gradient[place : place + 1],
            by_backward=past.by_backward[place : place + 1],
        )

    each = [route_shares.shares_by_distance(only(place))[3] for place in range(5)]
    mean = {name: np.mean([shares[name] for shares in each]) for name in each[0]}
    assert route_shares.shares_by_distance(past)[3] == pytest.approx(mean)
    each = [
        {one.name: one.share for one in route_shares.enumerate_routes(only(place), 3).contributions}
        for place in range(5)
    ]
    found = route_shares.enumerate_routes(past, 3).contributions
    names = [one.name for one in found]
    for one in found:
        assert names.count(one.name) > 1 or one.share == pytest.approx(
            np.mean([shares[one.name] for shares in each])
        )


@pytest.mark.parametrize("cell", CELLS)
def test_shares_by_distance_do_not_hang_on_a_few_large_gradients(cell: str) -> None:
    past = look_back_in_text(model(cell), IDS, 9, positions=5)
    shares = route_shares.shares_by_distance(past)
    past.gradient[2] *= 1e6
    for distance, named in route_shares.shares_by_distance(past).items():
        assert named == pytest.approx(shares[distance])


@pytest.mark.parametrize("cell", CELLS)
def test_shares_are_shown_where_the_gradient_has_faded_to_nothing(cell: str) -> None:
    faint = model(cell)
    for name, array in faint.params.items():
        if name.endswith("W_h"):
            array *= 1e-3
    past = look_back_in_text(faint, np.tile(IDS, 4), 900, positions=2)
    assert sum(route_shares.shares_by_distance(past)[900].values()) == pytest.approx(1.0)


def test_a_shut_update_gate_keeps_the_gradient_and_an_open_one_lets_it_go() -> None:
    """With z = 0 a state is copied: one route carries all, and nothing fades."""
    shut = model("gru")
    shut.params["layer1.b"][0] = -1e3
    past = look_back_in_text(shut, IDS, 20, positions=4)
    assert route_shares.shares_by_distance(past)[20]["direct"] == pytest.approx(1.0)
    np.testing.assert_allclose(norms_by_distance(past)[-1], np.linalg.norm(past.gradient, axis=-1))


def test_too_many_compositions_are_refused_with_the_reason() -> None:
    route_shares.check_enumerable(CELLS["gru"], 7)
    with pytest.raises(UsageError, match="go back 7 at most"):
        route_shares.check_enumerable(CELLS["gru"], 8)
    with pytest.raises(UsageError, match="too many to follow"):
        route_shares.check_enumerable(CELLS["lstm"], 90)
    route_shares.check_enumerable(CELLS["rnn"], 100)


def test_what_is_measured_is_what_single_steps_say(text_file: Path) -> None:
    (subject,) = untrained(["gru"], str(text_file), hidden=6)
    measured = route_shares.measure(subject, steps_back=2, distance=10, positions=5)
    history = look_back_in_text(subject.lm.model, subject.ids, 10, 5)
    assert measured.shares == route_shares.shares_by_distance(history)
    assert list(measured.shown()) == [1, 2, 4, 8, 10]
    assert len(measured.enumeration.contributions) == 16
    assert measured.to_dict()["shares_by_distance"] == measured.shown()
    with pytest.raises(UsageError, match="too many to follow"):
        route_shares.measure(subject, steps_back=8)


def test_numbers_of_routes_are_those_of_the_lecture_note() -> None:
    counted = route_shares.counts()
    assert [counted["gru"][k] for k in (1, 2, 3)] == [4, 16, 64]
    assert counted["lstm"][2] == 24
    assert [counted["rnn"][k] for k in (1, 2, 3)] == [1, 1, 1]


def test_shares_are_drawn_as_areas_that_add_up_to_the_whole() -> None:
    found = measured("gru", steps_back=1)
    drawn = found.chart()
    ElementTree.fromstring(drawn)  # raises if it is not well-formed
    for colour, name in zip(COLOURS, ("direct", "update", "candidate", "reset"), strict=False):
        assert f">{name}</text>" in drawn
        assert re.search(f'<polygon points="[^"]+" fill="{colour}"', drawn)
    assert "GRU, untrained: share of the gradient, %</text>" in drawn
    assert replace(found, shares={}).chart() == ""
    opposite = {"direct": 1.25, "update": 0.0, "candidate": 0.0, "reset": -0.25}
    below = replace(found, shares={1: opposite, 2: opposite}).chart()
    assert "<polyline" not in below
    assert len({float(y) for y in re.findall(r"[\d.]+,([\d.]+)", below)}) == 3  # 125, 0 and -25 %
    assert ">update</text>" not in below  # of no size


def test_a_route_has_its_colour_in_every_cell() -> None:
    colours = {cell: colours_of([one.name for one in CELLS[cell].ROUTES], ROUTES) for cell in CELLS}
    for name in ("direct", "candidate"):
        assert len({colours[cell][name] for cell in ("gru", "gru-after", "lstm")}) == 1
    assert colours_of(["mine", "direct", "other"], ROUTES) == {"direct": 0, "mine": 1, "other": 2}
    many = [f"route {n}" for n in range(12)]
    assert len(colours_of(many, ROUTES)) == 12
