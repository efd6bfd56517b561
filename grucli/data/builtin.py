"""Real text that every Python installation already holds."""

import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from grucli.errors import CorpusError, UsageError
from grucli.files import output_exists, write_output

NAMES = ("python-reference", "python-stdlib")
# directories of the standard library that are not the library itself
LEFT_OUT = frozenset(["site-packages", "test", "tests", "idle_test", "pydoc_data", "__pycache__"])


def chunks(name: str) -> Iterator[str]:
    """The text of a built-in corpus, in order."""
    if name == "python-reference":
        return _reference()
    if name == "python-stdlib":
        return _stdlib()
    raise CorpusError(f"{name}: there is no such corpus; there are {' and '.join(NAMES)}")


def write(name: str, path: Path, *, force: bool = False) -> int | None:
    """Write a corpus to a file; the number of characters, or None if it held this text already."""
    parts = chunks(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(parts)
        data = text.encode()
        if not output_exists(path) or force:
            write_output(path, lambda file: file.write(data))
            return len(text)
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}; choose another place with --output"
        ) from None
    raise UsageError(
        f"{path}: this file exists and holds another text; name another place with "
        "--output, or overwrite it with --force"
    )


def _reference() -> Iterator[str]:
    """The topics of the language reference, as ``help("assert")`` shows them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise CorpusError(
            "this Python was installed without pydoc_data, which holds the language reference; "
            "use python-stdlib or any text file of your own"
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
            "use python-reference or any text file of your own"
        )
    for path in paths:
        with tokenize.open(path) as file:  # in the encoding that the file declares
            yield file.read()
