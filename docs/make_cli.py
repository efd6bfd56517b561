"""Generate docs/cli.md from the help of the commands: ``python docs/make_cli.py``."""

from pathlib import Path
from typing import Any

import typer.main

from grucli.cli import COMMANDS, app, load_command

PATH = Path(__file__).with_name("cli.md")

HEAD = """# Commands

This page contains the `--help` of all commands. `python docs/make_cli.py` generates it. A test
fails if the page is not current.

A command writes its answer, and nothing else, to stdout: sampled text, tables, JSON or settings.
The answer of `train` is the path of the run directory. Everything else goes to stderr.

Exit codes: 0, the command succeeded; 1, a run or a check failed; 2, the command could not do what
was asked (it wrote nothing, except for rows of `score` before an error, and what it says that it
has mended); 130, 143 or 129, Ctrl-C, SIGTERM or the end of the terminal stopped the command. During
training, the first of these signals saves and stops the run, and a second one stops it at once.

Control characters in a text or a name are shown as symbols on a terminal and on stderr. A pipe
receives sampled text unchanged; JSON contains control characters as escapes. A file that you name
is overwritten only with `--force`; pipes, devices and `/dev/stdout` need no `--force`.

In a description, brackets contain the default, for example `[runs]`.
"""


def document() -> str:
    """Return the whole page."""
    top: Any = typer.main.get_command(app)
    parts = [HEAD, section("grucli", top)]
    parts += [section(f"grucli {name}", load_command(name)) for name in COMMANDS]
    return "\n".join(parts)


def section(name: str, command: Any) -> str:
    """Return the section of one command: its purpose, its arguments and its options."""
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *map(usage_of, arguments)])
    rows = [(f"`{usage_of(item)}`", item.help) for item in arguments]
    rows += [(f"`{', '.join(names(item))}`", explained(item)) for item in options]
    rows = [(left.replace("|", "\\|"), right) for left, right in rows]
    table = ["| | |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows)]
    text = "\n".join(line.strip() for line in command.help.strip().splitlines())
    return "\n".join([f"## {name}", "", f"    {usage}", "", text, "", *table, ""])


def explained(option: Any) -> str:
    """Return the help of an option, with its default if it takes a value."""
    plain = option.is_flag or option.default in (None, [])
    return option.help if plain else f"{option.help} Default: `{option.default}`."


def usage_of(argument: Any) -> str:
    """Return an argument in the form of the usage line."""
    word = argument.metavar.strip("[].") + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def names(option: Any) -> list[str]:
    """Return all spellings of an option; the last one has the placeholder of its value."""
    spellings = [*option.opts, *option.secondary_opts]
    if option.metavar:
        spellings[-1] += f" {option.metavar}"
    return spellings


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
