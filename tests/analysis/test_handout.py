import re
from html.parser import HTMLParser

import pytest

from grucli.analysis.handout import handout
from grucli.analysis.worked_example import worked_example
from grucli.nn.cells import basic


class Reader(HTMLParser):
    """The cells with borders, by the titles of their sections, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {}
        self.tables, self.text, self.tag = 0, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tag = tag
        self.tables += tag == "table"
        if tag == "td" and self.tables == 2:
            list(self.sections.values())[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.tables -= tag == "table"
        self.tag = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tag == "h2":
            self.sections[data] = []
        elif self.tag == "td" and self.tables == 2:
            list(self.sections.values())[-1][-1] += data


def test_given_numbers_have_all_their_digits() -> None:
    numbers = {"h_0": [0.125, -0.004], "b_c": [0.1, 1e-7, 0.2]}
    read = Reader(handout(worked_example("gru", numbers)))
    given = next(iter(read.sections.values()))
    assert {"0.125", "-0.004", "0.10", "1e-07", "0.20"} <= set(given)


@pytest.mark.parametrize("cell", basic())
def test_what_is_given_is_printed_and_the_rest_is_blank(cell: str) -> None:
    example = worked_example(cell)
    read = Reader(handout(example))
    given, *passes = read.sections.items()
    assert [*read.sections] == [title for title, _ in example.sections[:-1]]
    assert [float(one) for one in given[1]] == [
        float(number) for _, _, value in example.sections[0][1] for number in value.flat
    ]
    for (title, blanks), (_, quantities) in zip(passes, example.sections[1:-1], strict=True):
        assert blanks == [""] * sum(one.value.size for one in quantities), title
    assert f"L1 = {example.values['L_1'].item():.4f}" in read.text


def test_the_page_loads_nothing_and_typesets_every_formula() -> None:
    page = handout(worked_example())
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|<script|<img|<link", page)
    body = page.partition("<body>")[2]
    assert not re.search(r"[*^~]|\w_\w|\$", body.replace("_" * 22, ""))
    assert "= d<sub>" not in body
    assert "<th>dz\N{COMBINING TILDE}<sub>1</sub>" in body
