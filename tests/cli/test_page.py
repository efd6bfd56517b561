"""``grucli page``."""

import os
from pathlib import Path

from tests.cli.helpers import posix, start
from tests.conftest import Grucli


@posix
def test_a_passage_is_a_file(grucli: Grucli, trained: Path) -> None:
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        process = start("page", trained, "-o", "page.html", "--passage", path)
        told = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 2
        assert f"{path}: a pipe, a device or a directory stands where a file should" in told
