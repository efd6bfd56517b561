"""A PostgreSQL server of Debian in a temporary directory."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    if not PROGRAMS:
        return "needs PostgreSQL: apt-get install postgresql"
    if ROOT and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv"
    return None


@contextmanager
def server() -> Iterator[str]:
    """Start a server, and yield the URL of an empty database."""
    programs = PROGRAMS[-1].parent
    # not in pytest's directories, which only their owner may enter
    with tempfile.TemporaryDirectory(prefix="grucli-pg-") as name:
        folder = Path(name)
        if ROOT:
            shutil.chown(folder, "postgres", "postgres")
        data, port = folder / "data", _free_port()
        _run(programs / "initdb", "-D", data, "-A", "trust", "-U", "grucli", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = (programs / "pg_ctl", "-D", data, "-w")
        _run(*control, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://grucli:secret@127.0.0.1:{port}/postgres"
        finally:
            _run(*control, "-m", "immediate", "stop")


def _run(*words: object) -> None:
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] * ROOT
    subprocess.run([*user, *map(str, words)], check=True, stdout=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
