"""Runs the commands of a page, word for word."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Grucli, Result

DOCS = Path(__file__).parents[1] / "docs"


def run_commands(page: str, grucli: Grucli, adapt: Callable[[str], str] = str) -> dict[str, Result]:
    """The results of all commands of a page in docs/, in order; its files are written before.

    A block of code whose first line is a comment with the name of a file is that file. A command
    ends with code 0, or with the one that a comment after it names. ``adapt`` may shorten a budget.
    """
    results = {}
    text = (DOCS / page).read_text("utf-8")
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        name = re.match(r"# ([\w-]+\.\w+)\n", block)
        if name:
            Path(name[1]).write_text(block, encoding="utf-8")
        elif kind == "sh":
            for line in block.splitlines():
                command, _, comment = line.partition("#")
                program, *words = shlex.split(adapt(command))
                assert program == "grucli", line
                result = grucli(*words)
                code = re.search(r"exit code (\d)", comment)
                assert result.code == int(code[1] if code else 0), (line, result.err)
                results[command.strip()] = result
    return results
