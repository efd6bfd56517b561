"""Write docs/cli.md from the commands themselves: ``python docs/make_cli.py``."""

from pathlib import Path
from typing import Any

import typer.main

from grucli.cli import app

PATH = Path(__file__).with_name("cli.md")

HEAD = """# Commands

What `--help` says, on one page. `python docs/make_cli.py` generates it, and a test fails if it is
not current.

A command writes its answer, and nothing else, to stdout: sampled text, tables, JSON, printed
settings, and for `train` the path of the run directory. Everything else goes to stderr. Exit codes:
0 the command succeeded; 1 a run or a check failed; 2 the command could not do what was asked, and
wrote nothing; 130 and 143 Ctrl-C or SIGTERM stopped it. While a run is trained, the first of these
signals saves and stops, and a second one stops at once.

Control characters in a text or a name are shown as symbols on a terminal and on stderr. A pipe
receives sampled text unchanged; JSON contains control characters as escapes. A file that exists is
overwritten only with `--force`; pipes, devices and `/dev/stdout` need no `--force`.

Brackets at the end of a description contain the default, for example `[runs]`.
"""


def document() -> str:
    """The whole page."""
    top: Any = typer.main.get_command(app)
    parts = [HEAD, section("grucli", top)]
    parts += [section(f"grucli {name}", command) for name, command in top.commands.items()]
    return "\n".join(parts)


def section(name: str, command: Any) -> str:
    """One command: what it does, its arguments and its options."""
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *map(usage_of, arguments)])
    rows = [(f"`{usage_of(item)}`", item.help) for item in arguments]
    rows += [(f"`{', '.join(names(item))}`", explained(item)) for item in options]
    table = ["| | |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
    text = "\n".join(line.strip() for line in command.help.strip().splitlines())
    return "\n".join([f"## {name}", "", f"    {usage}", "", text, "", *table, ""])


def explained(option: Any) -> str:
    """What an option does, and its default if it takes a value."""
    plain = option.is_flag or option.default in (None, [])
    return option.help if plain else f"{option.help} Default: `{option.default}`."


def usage_of(argument: Any) -> str:
    """An argument as the usage line shows it."""
    word = argument.metavar.strip("[].") + ("..." if argument.nargs == -1 else "")
    word = word.replace("|", "\\|")
    return word if argument.required else f"[{word}]"


def names(option: Any) -> list[str]:
    """All spellings of an option, the last with what it takes."""
    spellings = [*option.opts, *option.secondary_opts]
    if option.metavar:
        spellings[-1] += f" {option.metavar}".replace("|", "\\|")
    return spellings


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
