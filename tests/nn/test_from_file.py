"""A cell from a file outside of the package."""

from pathlib import Path

import pytest

import grucli
from grucli.errors import UsageError
from grucli.nn.cells import CELLS, Cell
from grucli.nn.cells.from_file import FILES, error_in_file, load_cell
from tests.nn.test_adding_a_cell import source

CELL = "from grucli.nn.cells import Cell\n"
ABSTRACT = "def backward(self): 0\n    def step(self): 0\n    def views(self): 0\n"


pytestmark = pytest.mark.usefixtures("forgets_cells")


def test_the_class_gives_the_name_and_a_file_can_be_loaded_again() -> None:
    Path("other name.py").write_text(source(), encoding="utf-8")
    assert grucli.load_cell("other name.py") == "mgu"
    first = CELLS["mgu"]
    assert isinstance(first, Cell)
    assert load_cell(Path("other name.py")) == "mgu"
    assert CELLS["mgu"] is not first


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n\ny = undefined\n", "mine.py, line 3, in <module>: NameError: name 'undefined'"),
        ("def f(:\n", "mine.py: invalid syntax (mine.py, line 1)"),
        ("x = '\0'\n", "mine.py: "),
        ("", "mine.py: defines no cell; it must define one class made from Cell"),
        ("from grucli.nn.cells.gru import GRU\n", "mine.py: defines no cell"),
        (f"{CELL}class A(Cell):\n    {ABSTRACT}class B(A): 0\n", "defines several cells (a, b)"),
        (f"{CELL}class A(Cell): 0\n", "Can't instantiate abstract class A with"),
        (f"{CELL}class A(Cell):\n    {ABSTRACT}", "cell a does not define GATES, BIAS, ROUTES"),
        (
            source().replace("MGU", "GRU"),
            "mine.py: gru is a cell of grucli; give the class another",
        ),
        (source().replace("(-1.0, 0.0)", "(0,)"), "mine.py: GATES has 2 names and BIAS 1 numbers"),
        (
            source().replace('"gate", "h", "h"', '"gate", "h", "c"'),
            "ROUTES names parts of the state that are not in STATE",
        ),
        (f"{source()}    ROUTES = ()\n", "the cell mgu does not define ROUTES"),
        (f"{source()}    BIAS = (-1.0)\n", "GATES, BIAS, ROUTES of the cell mgu: object of"),
        (f"{source()}    ROUTES = ('h',)\n", "GATES, BIAS, ROUTES of the cell mgu: 'str'"),
    ],
)
def test_a_file_without_a_usable_cell_is_refused(code: str, said: str) -> None:
    Path("mine.py").write_text(code, encoding="utf-8")
    known = dict(CELLS)
    with pytest.raises(UsageError) as refused:
        load_cell("mine.py")
    assert said in str(refused.value)
    assert known == CELLS
    assert not FILES


def test_a_file_that_cannot_be_read_is_refused() -> None:
    Path("folder.py").mkdir()
    for path in ("nothing.py", "folder.py", "nothing\0.py"):
        with pytest.raises(UsageError, match="the file of a cell cannot be read"):
            load_cell(path)


def test_only_an_error_in_the_code_of_a_cell_is_one_of_the_cell() -> None:
    assert error_in_file(ValueError("elsewhere")) is None
