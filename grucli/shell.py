"""Commands for a shell: the ones that messages suggest."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from grucli.printable import CONTROLS, to_bytes


def resume_command(run: Path, sources: Sequence[str] = (), ranks: int = 1) -> str:
    """Return the command that resumes a run.

    Args:
        run: the run directory.
        sources: the paths of its text. The command repeats them only if one is standard input,
            since a run can read its files again.
        ranks: the number of ranks that have trained it.
    """
    again = [quote(source) for source in sources] if "-" in sources else []
    mpiexec, mpi = ([f"mpiexec -n {ranks}"], ["--mpi"]) if ranks > 1 else ([], [])
    return " ".join([*mpiexec, "grucli train", *again, "--resume", quote(str(run)), *mpi])


def quote(path: str) -> str:
    """Quote a path, so that it is one word and never an option."""
    return word(never_option(path))


def word(text: str) -> str:
    """Quote a text, so that it is one word."""
    if os.name == "nt":
        return subprocess.list2cmdline([text])
    return _escape(text) if CONTROLS.search(text) else shlex.quote(text)


def never_option(path: str) -> str:
    """Put ./ before a path that looks like an option; - alone is standard input."""
    return f"./{path}" if path.startswith("-") and path != "-" else path


def _escape(path: str) -> str:
    """Escape a path with control characters, for bash and zsh."""
    plain = [chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in to_bytes(path)]
    return "$'" + "".join("\\" + one if one in "\\'" else one for one in plain) + "'"
