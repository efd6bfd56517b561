import pytest

pytest.importorskip("numba")

from tests.faults.compiled import PACKAGE, Mistake, listed, seen

MISTAKES = list(listed())


def test_the_places_of_all_mistakes_are_in_the_source() -> None:
    for mistake in MISTAKES:
        source = (PACKAGE / f"{mistake.module}.py").read_text("utf-8")
        assert source.count(mistake.right) == 1, mistake


@pytest.mark.parametrize("mistake", MISTAKES[::9], ids=lambda one: f"{one.module}: {one.name}")
def test_a_mistake_is_seen(mistake: Mistake) -> None:
    assert seen(mistake)
