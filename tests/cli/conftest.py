"""Files and runs that the tests of several commands use."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from grucli.cli import main
from tests.cli.helpers import HARMLESS, HOSTILE, MINE, write
from tests.conftest import TINY
from tests.texts import prose


@pytest.fixture
def bad_files() -> None:
    """Files that no run can be trained on, and one that is sound."""
    write("text.txt", prose(4000))
    write("cp1252.txt", b"It\x92s not UTF-8\n" * 50)
    write("one.txt", "a" * 100)
    write("small.txt", "abcdefg")
    with open("long.txt", "wb") as file:
        file.truncate(2**22 + 1)
    write("empty.txt", "")
    write("half.gz", gzip.compress(prose(4000).encode())[:300])
    write("broken.yaml", "train: [")
    write("unknown.yaml", "train:\n  batchsize: 3\nmodel:\n  hidden: big\n  layers: 0\n")
    Path("dir").mkdir()


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on another text; tests only read it."""
    home = tmp_path_factory.mktemp("other")
    (home / "text.txt").write_text("0123456789 \n" * 400, encoding="utf-8")
    before = Path.cwd()
    os.chdir(home)
    try:
        with pytest.raises(SystemExit):
            main(["train", "text.txt", "--steps", "2", "--quiet", *TINY])
    finally:
        os.chdir(before)
    return next((home / "runs").iterdir())


@pytest.fixture
def mine() -> Path:
    """A file of the user, outside of the run."""
    Path("mine").mkdir()
    Path("mine/step-00000999.txt").write_text(MINE, encoding="utf-8")
    Path("mine/step-00000999.npz").write_text(MINE, encoding="utf-8")
    return Path("mine").resolve()


@pytest.fixture
def run(trained: Path) -> Path:
    """A run that a test may change."""
    return Path(shutil.copytree(trained, "run"))


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a hostile text under a hostile name, whose samples repeat the prompt at least."""
    home = tmp_path_factory.mktemp("hostile")
    text = home / "a\x1b[31mred\x07.txt"
    text.write_text((prose(200) + HOSTILE + HARMLESS) * 20, encoding="utf-8", newline="")
    asked = ["--steps=5", "-q", "--set=data.newlines=keep", "--runs-dir", str(home / "runs")]
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(text), *asked, *TINY])
    assert not stopped.value.code
    run = next((home / "runs").iterdir())
    return run.rename(run.with_name("a\x1b[31mred\x07-run"))
