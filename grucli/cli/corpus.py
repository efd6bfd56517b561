"""``grucli corpus``: write an example text."""

from pathlib import Path

from grucli.cli import render
from grucli.data import builtin
from grucli.files import output_exists
from grucli.text_out import quote


def corpus(example: str, output: Path | None = None, force: bool = False) -> None:
    """Write a text that comes with this Python installation, and print the path of the file.

    Without --output the file is data/NAME.txt.
    """
    if output == render.STANDARD_OUTPUT:
        for chunk in builtin.chunks(example):
            render.write(chunk.encode())
        return
    path = Path("data", f"{example}.txt") if output is None else output
    chars = builtin.write(example, path, force=force)
    if not output_exists(path):  # a pipe or a device: the text was the answer
        return
    done = f"{path} already holds this text" if chars is None else f"{chars:,} characters"
    render.say(f"{done}; train on it with: grucli train {quote(str(path))}")
    render.write_path(path)
