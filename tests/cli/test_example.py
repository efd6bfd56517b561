"""``grucli example``."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import fails_where_the_backward_pass_is_wrong, refusal
from tests.conftest import Grucli


def test_a_wrong_backward_pass_fails_the_command(grucli: Grucli) -> None:
    fails_where_the_backward_pass_is_wrong(grucli, "example")


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_each_cell_has_an_example_that_fits_a_terminal(
    grucli: Grucli, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = grucli("example", "--cell", cell)
    assert shown.code == 0
    assert shown.out.startswith(f"This 2-unit {cell.upper()} reads 'ab' and predicts 'bc'.")
    answer = json.loads(grucli("example", "--cell", cell, "--json").out)
    assert answer["agrees"]
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert max(map(len, grucli("example", "--cell", cell).out.splitlines())) <= 60


def test_numbers_of_ones_own_and_a_handout(grucli: Grucli) -> None:
    Path("mine.yaml").write_text("b_z: [1, 4e-1]\n", encoding="utf-8")
    shown = grucli("example", "--numbers", "mine.yaml", "--handout", "sheet.html")
    assert shown.code == 0
    assert "b_z                                              [ 1.0000  0.4000]" in shown.out
    assert "1.00<td>0.40" in Path("sheet.html").read_text(encoding="utf-8")
    again = refusal(grucli, "example", "--handout", "sheet.html")
    assert "--handout sheet.html: this file exists" in again


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"b_z: [1\n", "mine.yaml:2:1: not valid YAML"),
        (b"\xff", "mine.yaml:1:1: cannot read the settings file: it is not UTF-8 text"),
        (b"- 1\n", "--numbers must be a valid dictionary, not [1]"),
        (b"b_z: [1, 2, 3]\n", "--numbers b_z must be 2 numbers from -10 to 10, not [1, 2, 3]"),
    ],
)
def test_a_file_of_numbers_that_is_wrong_is_refused(
    grucli: Grucli, content: bytes, said: str
) -> None:
    Path("mine.yaml").write_bytes(content)
    options = ("--numbers", "mine.yaml", "--handout", "sheet.html")
    assert said in refusal(grucli, "example", *options)
    assert not Path("sheet.html").exists()
