"""Real text that every Python installation already holds."""

import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from grucli.errors import CorpusError

NAMES = ("python-reference", "python-stdlib")

LEFT_OUT = frozenset(["site-packages", "test", "tests", "idle_test", "pydoc_data", "__pycache__"])
"""Directories of the standard library that are not the library itself."""


def pieces(name: str) -> Iterator[str]:
    """The text of a corpus, in order.

    Raises:
        CorpusError: no corpus of that name, or this Python lacks it.
    """
    if name == "python-reference":
        return _reference()
    if name == "python-stdlib":
        return _stdlib()
    raise CorpusError(f"{name}: there is no such corpus; there are {' and '.join(NAMES)}")


def _reference() -> Iterator[str]:
    """The topics of the language reference, as ``help("assert")`` shows them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise CorpusError(
            "this Python was installed without pydoc_data, which holds the language reference; "
            "take python-stdlib, or any text file of your own"
        ) from None
    return (topics[key].rstrip() + "\n\n\n" for key in sorted(topics))


def _stdlib() -> Iterator[str]:
    """The modules of the standard library that are written in Python."""
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(
        path
        for path in root.rglob("*.py")
        if not LEFT_OUT.intersection(path.relative_to(root).parts)
    )
    if not paths:
        raise CorpusError(
            f"{root}: this Python keeps no source files of its standard library; "
            "take python-reference, or any text file of your own"
        )
    for path in paths:
        with tokenize.open(path) as file:  # in the encoding that the file declares
            yield file.read()
