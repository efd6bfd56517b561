"""Files that coverage-guided fuzzing invents: ``python -m tests.faults.guided READER RUNS``.

Needs atheris, from PyPI. Inputs that reach new code in grucli are kept and changed further;
anything but a documented error ends it with the exit code of a crash.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["grucli"]):
    from tests.faults import fuzz

LONGEST = 20_000
"""Bytes of an input."""


def main() -> None:
    """Fuzz one reader."""
    name, runs = sys.argv[1], int(sys.argv[2])
    folder = Path(tempfile.mkdtemp())
    sound, documented, read = fuzz.readers(folder)[name]
    seeds, place = folder / "seeds", folder / "input"
    seeds.mkdir()
    (seeds / "sound").write_bytes(sound)

    def one(content: bytes) -> None:
        place.write_bytes(content)
        with contextlib.suppress(*documented):
            read(place)

    options = [f"-runs={runs}", f"-max_len={LONGEST}", "-rss_limit_mb=3000", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
