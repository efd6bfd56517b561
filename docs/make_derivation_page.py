"""Typeset docs/derivation.md as docs/derivation.html: ``python docs/make_derivation_page.py``.

The page needs no network: its formulas are MathML, which browsers draw themselves. This program
needs what the tests need: ``pip install -e ".[fast,test]"``.
"""

import re
from pathlib import Path
from string import Template

from latex2mathml.converter import convert
from markdown_it import MarkdownIt

SOURCE = Path(__file__).with_name("derivation.md")
PATH = SOURCE.with_suffix(".html")
PARTS = re.compile(r"```.*?```|`[^`\n]*`|\$\$(?P<block>.*?)\$\$|\$(?P<line>[^$]+)\$", re.DOTALL)
"""Code, which stays as it is, and formulas."""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #fff; --text: #1a1a1a; --line: #ccc; --code: #f3f3f3;
  --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161616; --text: #e8e8e8; --line: #444; --code: #232323; --link: #8ab4f8; }
}
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page); font: 1.0625rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2 { line-height: 1.25; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); }
math { font-size: 1.1em; overflow-wrap: normal; }
.block { overflow-x: auto; overflow-y: hidden; padding: .4rem 0; }
mtd { padding: .3em .25em; text-align: left; }
mtd.end { text-align: right; }
mtd.number { padding-left: 2em; }
.brace { border-bottom: .06em solid; padding-bottom: .15em; }
code, pre { background: var(--code); font: .88em/1.45 ui-monospace, Consolas, monospace; }
code { padding: .1em .25em; border-radius: 3px; }
pre { padding: .8rem; overflow-x: auto; overflow-wrap: normal; }
pre code { padding: 0; font-size: 1em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92em; }
.wide th { overflow-wrap: normal; }
th, td { padding: .3rem .6rem; border: 1px solid var(--line); text-align: left;
  vertical-align: top; }
@media print {
  body { max-width: none; margin: 0; font-size: 10.5pt; }
  pre { white-space: pre-wrap; }
}
</style>
</head>
<body>
$body
</body>
</html>
""")


def document() -> str:
    """Return the whole page."""
    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if is_code(found):
            return found[0]
        formulas.append(typeset(found))
        return f"FORMULA{len(formulas) - 1}END"

    text = PARTS.sub(keep, SOURCE.read_text(encoding="utf-8"))
    body = MarkdownIt("commonmark").enable("table").render(re.sub(r"<!--.*?-->\n", "", text))
    body = re.sub(r"<p>(FORMULA\d+END)</p>", r"\1", body)
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    body = re.sub(r"FORMULA(\d+)END", lambda found: formulas[int(found[1])], body)
    return PAGE.substitute(title="Backpropagation through time in a GRU", body=body.strip())


def is_code(found: re.Match[str]) -> bool:
    """Return whether ``PARTS`` has found code and not a formula."""
    return found["block"] is None and found["line"] is None


def typeset(found: re.Match[str]) -> str:
    """Return the MathML of a formula that ``PARTS`` has found."""
    made = block(found["block"]) if found["block"] else convert(found["line"].strip())
    made = made.replace("<munder><munder>", '<munder><mrow class="brace">')
    made = made.replace(
        "<mo>&#x23DF;</mo></munder>", "</mrow>"
    )  # a line needs no font for formulas
    made = made.replace("<mi>&#x00064;</mi>", '<mi mathvariant="normal">d</mi>')
    made = made.replace("<mi>log</mi>", '<mi>log</mi><mspace width=".17em"/>')
    return f'<div class="block">{made}</div>' if found["block"] else made


def block(formula: str) -> str:
    """Return a formula on lines of its own, whose rows are aligned at their relation signs."""
    aligned = re.search(r"\\begin\{aligned\}(.*)\\end\{aligned\}", formula, re.DOTALL)
    if aligned is None:
        return convert(formula.strip(), display="block")
    rows = "".join(map(row_of, re.split(r"\\\\\s", aligned[1].strip())))
    return f'<math display="block"><mtable displaystyle="true">{rows}</mtable></math>'


def row_of(row: str) -> str:
    """Return a row of an aligned formula: the left side, the right side, and the number."""
    left, *others = (cell.strip() for cell in row.split("&"))
    cells = [("end", left), *(("", cell) for cell in others[:1]), ("number", "".join(others[1:]))]
    return "<mtr>" + "".join(cell_of(*cell) for cell in cells) + "</mtr>"


def cell_of(kind: str, formula: str) -> str:
    """Return a cell of a table of formulas."""
    inside = re.sub(r"^<math[^>]*>|</math>$", "", convert(formula)) if formula else ""
    return f'<mtd class="{kind}">{inside}</mtd>' if kind else f"<mtd>{inside}</mtd>"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
