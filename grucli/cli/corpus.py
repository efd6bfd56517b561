"""``grucli corpus``: write an example text."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from grucli.cli import options, render
from grucli.data import builtin
from grucli.files import output_exists
from grucli.text_out import quote

Name = Annotated[
    str,
    Argument(
        help="python-reference (the language reference, 0.5 MB of English prose) or "
        "python-stdlib (the standard library, about 12 MB of Python source).",
        metavar="NAME",
    ),
]


def corpus(name: Name, output: options.Output = None, force: options.Force = False) -> None:
    """Write a text that comes with this Python installation, and print the path of the file.

    Without --output the file is data/NAME.txt.
    """
    if output == render.STANDARD_OUTPUT:
        for chunk in builtin.chunks(name):
            render.write(chunk.encode())
        return
    path = Path("data", f"{name}.txt") if output is None else output
    chars = builtin.write(name, path, force=force)
    if not output_exists(path):  # a pipe or a device: the text was the answer
        return
    done = f"{path} already holds this text" if chars is None else f"{chars:,} characters"
    render.say(f"{done}; train on it with: grucli train {quote(str(path))}")
    render.write_path(path)
