"""Mistakes in compiled code, each of which the comparison of ``grucli gradcheck`` must see.

``python -m tests.faults.compiled`` makes each mistake of ``compiled_mistakes.txt`` in a copy of its
module, and prints which array shows it.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from grucli.nn import gradcheck
from grucli.nn.compiled import compiler, kernels
from grucli.nn.compiled import rows as rows_module

PACKAGE = Path(compiler.__file__).parent
LISTED = Path(__file__).with_name("compiled_mistakes.txt")


class Mistake(NamedTuple):
    """One place in the source of a module, and the wrong text for it."""

    module: str
    name: str
    right: str
    wrong: str


def listed() -> Iterator[Mistake]:
    _, *sections = re.split(r"^== (.+)\n", LISTED.read_text("utf-8"), flags=re.MULTILINE)
    for module, section in zip(sections[::2], sections[1::2], strict=True):
        for found in re.findall(r"^(.+)\n- (.+)\n\+ (.+)$", section, re.MULTILINE):
            yield Mistake(module, *found)


def wrong_module(mistake: Mistake) -> ModuleType:
    """A copy of the module with the mistake, whose code is not kept."""
    path = PACKAGE / f"{mistake.module}.py"
    source = path.read_text("utf-8")
    assert source.count(mistake.right) == 1, mistake
    module, kept = ModuleType(f"wrong_{mistake.module}"), compiler.folder
    compiler.folder = None
    try:
        exec(source.replace(mistake.right, mistake.wrong), vars(module))
    finally:
        compiler.folder = kept
    return module


def seen(mistake: Mistake) -> str:
    """The array that shows the mistake; empty if there is none."""
    wrong, name = wrong_module(mistake), mistake.module.replace("_", "-")
    cell = name if name in kernels.CELLS else "gru"
    right_cell, right_rows = kernels.CELLS[cell], dict(vars(rows_module))
    if name in kernels.CELLS:
        (own,) = (one for key, one in vars(wrong).items() if re.match("Compiled[GLR]", key))
        kernels.CELLS[cell] = own()
    else:
        vars(rows_module).update(vars(wrong))
    try:
        model, window = gradcheck.toy(11, 8, 2, 6, 4, 0.2, seed=0, cell=cell, documents=True)
        for _, row in gradcheck.check_compiled(model, window):
            if row.verdict == "WRONG":
                return f"{row.name} {row.error:.1e}"
        return ""
    finally:
        kernels.CELLS[cell] = right_cell
        vars(rows_module).update(right_rows)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for mistake in listed():
        print(f"{mistake.module} | {mistake.name} | {seen(mistake) or 'NOT SEEN'}", flush=True)


if __name__ == "__main__":
    main()
