from pathlib import Path

import pytest

from tests.texts import prose


@pytest.fixture
def text() -> str:
    Path("t.txt").write_text(prose(4000), encoding="utf-8")
    return "t.txt"
