import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest

from grucli import compilation
from grucli.cli import main
from grucli.nn.cells import CELLS
from grucli.nn.cells.from_file import FILES
from tests.texts import prose

hypothesis.settings.register_profile("grucli", deadline=None)  # other work may slow a test
hypothesis.settings.load_profile("grucli")

TINY = [
    "--set=model.hidden=12",
    "--set=train.batch=4",
    "--set=train.window=16",
    "--set=train.eval_every=10",
    "--set=train.log_every=5",
    "--set=sample.length=40",
]
"""Settings with which training takes a second."""


class Result(NamedTuple):
    code: int
    out: str
    err: str


Grucli = Callable[..., Result]


def pytest_configure(config: pytest.Config) -> None:
    """All tests, and the processes that they start, share one place for compiled code."""
    if config.cache is not None:
        os.environ[compilation.VARIABLE] = str(config.cache.mkdir("compiled"))


@pytest.fixture(autouse=True)
def _strict_and_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Numeric accidents are errors; every test has an empty working directory and cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRUCLI_CACHE", str(tmp_path / "cache"))
    with np.errstate(all="raise", under="ignore"):
        yield


@pytest.fixture
def grucli(capfdbinary: pytest.CaptureFixture[bytes]) -> Grucli:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*args: object) -> Result:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        captured = capfdbinary.readouterr()
        return Result(int(stopped.value.code or 0), captured.out.decode(), captured.err.decode())

    return run


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(prose(4000), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a model trained for a moment; tests only read it."""
    home = tmp_path_factory.mktemp("trained")
    text = home / "text.txt"
    text.write_text(prose(4000), encoding="utf-8")
    before, chosen = Path.cwd(), ["--set=model.dropout=0.5"]
    os.chdir(home)
    try:
        with pytest.raises(SystemExit) as stopped:
            main(["train", str(text), "--steps", "30", "--quiet", *TINY, *chosen])
    finally:
        os.chdir(before)
    assert not stopped.value.code
    return next((home / "runs").iterdir())


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, to see that nothing was written."""
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@contextmanager
def refused_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """A system that answers each request of a lock with an error."""

    def flock(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", flock)
        yield


@pytest.fixture
def forgets_cells() -> Iterator[None]:
    """The cells that a test loads from files are forgotten after it."""
    before, modules = dict(CELLS), set(sys.modules)
    yield
    CELLS.clear()
    CELLS.update(before)
    FILES.clear()
    for name in sys.modules.keys() - modules:
        if name.startswith("cell file "):
            del sys.modules[name]
