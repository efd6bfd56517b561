"""Damaged and invented files for each reader; only documented errors may come out of them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import Data, read_file, resolve, to_yaml
from grucli.data.corpus import read as read_corpus
from grucli.errors import CheckpointError, CorpusError, SettingsError, UnknownCharacterError
from grucli.run import checkpoint as checkpoints
from grucli.run.checkpoint import Checkpoint
from grucli.training.plan import make_plan, start
from tests.texts import prose

MEMORY = 3 * 2**30
"""Bytes of address space that the readers may use, the interpreter's and NumPy's included."""

SPICES = [
    b"\x00",
    b"\xff\xfe",
    b"\xf0\x9f\x98\x80",
    b"PK\x03\x04",
    b": ",
    b"[",
    b"{",
    b"&a",
    b"*a",
    b"!!",
]
SPICES += [
    b"\n",
    b"1e999",
    b"-1",
    b"99999999999999999999",
    b"\x93NUMPY",
    b"'",
    b"\r\n",
    b"\t",
    b".nan",
]
SPICES += [
    b"<<: ",
    b"? ",
    b"- " * 60,
    b"[" * 60,
    b"\xc2\x85",
    b"!!timestamp ",
    b"0b_",
    b"0x" + b"f" * 5000,
    b"1" + b":1" * 400,
    b'"\\UFFFFFFFF"',
]


def small_checkpoint(folder: Path) -> Path:
    """A checkpoint of a model with a handful of units."""
    text = folder / "small.txt"
    text.write_text(prose(300), encoding="utf-8")
    settings = resolve([("", {"model.hidden": 2, "train.batch": 2, "train.window": 8})])
    plan = make_plan(settings, read_corpus([str(text)], settings.data))
    path = folder / "small.npz"
    checkpoints.write(path, start(plan))
    return path


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether nothing has changed that sampling or training would notice."""
    arrays = [
        (c.model.params.flat, c.moments.m, c.moments.v, c.state, c.counts, c.vocabulary.symbols)
        for c in (one, other)
    ]
    facts = [(c.settings, c.progress, c.window, astuple(c.text_id), c.unseen) for c in (one, other)]
    equal = all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))
    return equal and facts[0] == facts[1]


def read_damaged(content: bytes, place: Path, original: Checkpoint) -> bool:
    """Whether a damaged checkpoint is refused; one that is not must be read back the same."""
    place.write_bytes(content)
    try:
        read = checkpoints.read(place)
    except CheckpointError:
        return True
    assert same(read, original), "silently different"
    return False


def flips(content: bytes) -> Iterator[bytes]:
    """The content with each of its bits flipped in turn."""
    damaged = bytearray(content)
    for place in range(8 * len(content)):
        damaged[place // 8] ^= 1 << place % 8
        yield bytes(damaged)
        damaged[place // 8] ^= 1 << place % 8


def truncations(content: bytes) -> Iterator[bytes]:
    """The content cut at each place."""
    return (content[:length] for length in range(len(content)))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few random changes: bytes replaced, left out, repeated, put in."""
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randrange(len(content) + 1), rng.choice([0, 1, 1, 2, 8, 64])
        piece = rng.choice([b"", rng.choice(SPICES), rng.randbytes(3), content[at : at + 40] * 2])
        content = content[:at] + piece + content[at + length :]
    return content


def readers(
    folder: Path,
) -> dict[str, tuple[bytes, tuple[type[Exception], ...], Callable[[Path], Any]]]:
    """By name: a sound input, the errors that are documented, and the reader."""
    settings = to_yaml(resolve([])).encode()
    text = ("One line.\r\n" + "Ünïcode \U0001f600 中文\n" * 4).encode()

    def settings_of(path: Path) -> object:
        return resolve([(str(path), read_file(path))])

    def text_of(path: Path) -> object:
        return read_corpus([str(path)], Data())

    return {
        "checkpoint": (small_checkpoint(folder).read_bytes(), (CheckpointError,), checkpoints.read),
        "settings": (settings, (SettingsError,), settings_of),
        "corpus": (text, (CorpusError, UnknownCharacterError), text_of),
    }


def fuzz(reader: str, folder: Path, inputs: int, seed: int = 0) -> int:
    """Give a reader so many mutated inputs; how many it refused."""
    sound, documented, read = readers(folder)[reader]
    rng, refused, place = random.Random(f"{reader} {seed}"), 0, folder / f"fuzzed-{reader}"
    for _ in range(inputs):
        content = mutated(sound, rng)
        place.write_bytes(content)
        try:
            read(place)
        except documented:
            refused += 1
        except Exception as error:
            raise AssertionError(
                f"{type(error).__name__}: {error} from {content[:200]!r}"
            ) from error
    return refused


def limit_memory() -> None:
    """Let this process have no more than ``MEMORY``, where the system can do that."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
