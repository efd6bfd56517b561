"""Whole run directories, damaged: every command ends with exit code 0, 1 or 2 and in words."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import BadZipFile

import numpy as np
import typer.main

from grucli import cli
from grucli.run.run import Run
from tests.conftest import snapshot
from tests.faults.fuzz import mutated
from tests.texts import prose

SECONDS = 5.0
"""Longest time that a command may take."""

MADE_WITH = (
    "train text.txt --steps 6 --seed 3 -q --runs-dir sound --set model.hidden=4 "
    "--set train.batch=2 --set train.window=8 --set train.eval_every=2 --set train.log_every=1 "
    "--set sample.length=5 --set train.workers=1"
)
COMMANDS = (
    "runs damaged{json}",
    "sample {run} -n 4 --seed 1 --json",
    "eval {run} text.txt --json",
    "compare --runs {run} --json",
    "report {run}",
    "page {run}",
    "train{text} --resume {run} --steps 8 --set sample.length=5 -q",
)

VALUES: tuple[Any, ...] = (None, True, False, 0, -1, -5, 1, 2.5, 10**6, 10**18, 10**30, 10**400)
VALUES += (1e308, -1e308, float("nan"), float("inf"), "", "abc", "-1", "\u00b2", "a\0b", "\ud800")
VALUES += ("caf\udce9", "/dev/zero", "/dev/stdin", "..", "text.txt", "x" * 200_000, "\x1b[2J")
VALUES += ([], {}, [[]], ["text.txt"], [None], ["a\0b"], ["/dev/zero"], {"": 1}, {"\ud800": 1})
"""What stands in a place of a JSON file where something else should."""

WORDS: tuple[str, ...] = ("\u00b2", "9" * 5000, "abc", "nan", "-inf", "1e400", "-1", "2.5", "")
WORDS += ('"', "\0", "x" * 200_000, "train", "10", "1e3", "\ud7ff", '"1"', " 2")
"""What stands in a cell of metrics.csv."""

CONTENTS: tuple[bytes, ...] = (b"", b"\0" * 500, b"[" * 100_000, b'{"a":' * 100_000, b"{}", b"[]")
CONTENTS += (b"null", b"\xff", b"9" * 5000, b'{"step":' + b"9" * 5000 + b"}", b"\n" * 1000, b'"')
CONTENTS += (b"a: &a [*a]",)

NAMES: tuple[str, ...] = ("step-\u00b2", "step-99999999999999999999", "step-7", "step-", "\u202e")
NAMES += ("step-00000004x", "step--1", "step-00000099", "step-000000004", "step-\n")
NAMES += (".step-00000004.tmp-1",)
"""Names of samples and of checkpoints that are nobody's."""

NUMBERS = (0.0, -1.0, 3e38, -3e38, 1e31, 1e29, np.inf, np.nan, 1e-45)
COUNTS = (0, -1, 1, 2**31, 2**62, 2**63 - 1)


OUTSIDE, SECRET = Path("outside"), "what lies outside"
"""A directory like a run, to which links lead, and what its samples say: nothing may change there,
and no report may show it."""


def sound_run() -> Path:
    """Train a tiny model in the working directory; its run."""
    Path("text.txt").write_text(prose(300), encoding="utf-8")
    code, told, _ = call(MADE_WITH.split())
    assert code == 0, told
    (run,) = Path("sound").iterdir()
    shutil.copytree(run, OUTSIDE)
    for folder, ending in [("samples", "txt"), ("checkpoints", "npz")]:
        (OUTSIDE / folder / f"step-00000099.{ending}").touch()
        (OUTSIDE / folder / f".step-00000099.{ending}.tmp-1-00000000").touch()
    for sample in [*(OUTSIDE / "samples").iterdir(), OUTSIDE / "lock", OUTSIDE / "page.html"]:
        sample.write_text(SECRET, encoding="utf-8")
    return run


# ---- kinds of damage ---------------------------------------------------------------------------


def _bytes(path: Path, rng: random.Random) -> None:
    """Some bytes changed."""
    path.write_bytes(mutated(path.read_bytes(), rng))


def _bit(path: Path, rng: random.Random) -> None:
    """One bit flipped."""
    content = bytearray(path.read_bytes() or b"\0")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, rng: random.Random) -> None:
    """Cut short."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _replaced(path: Path, rng: random.Random) -> None:
    """Other content, or a byte order mark before it, or after it something more."""
    content = path.read_bytes()
    more = (b"\xef\xbb\xbf" + content, content + b"\0" * 100, content + content)
    path.write_bytes(rng.choice((*CONTENTS, *more)))


def _other_kind(path: Path, rng: random.Random) -> None:
    """Something that is not a file, or a link, or nothing, or a file without an end."""
    path.unlink()
    kind = rng.choice(["gone", "directory", "pipe", "socket", "link", "link", "link", "long"])
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "link":
        others = ["/dev/zero", "/dev/null", "/dev/full", "/", "nowhere", path.name]
        path.symlink_to(rng.choice([*others, rng.choice(_files(path.parent)).name]))
    elif kind == "long" and path.suffix != ".npz":
        path.touch()
        os.truncate(path, 2**40)


def _field(path: Path, rng: random.Random) -> None:
    """A value of a JSON file, of metrics.csv or of a checkpoint."""
    if path.suffix == ".json":
        path.write_text(json.dumps(with_hostile_value(json.loads(path.read_text()), rng)))
    elif path.suffix == ".csv":
        _hostile_cell(path, rng)
    elif path.suffix == ".npz":
        _hostile_member(path, rng)
    else:
        _bytes(path, rng)


Keys = tuple[Any, ...]


def _places(value: Any, keys: Keys = ()) -> Iterator[Keys]:
    """The keys to each value in a value of JSON, itself included."""
    yield keys
    inside = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for key in inside:
        yield from _places(value[key], (*keys, key))


def with_hostile_value(value: Any, rng: random.Random) -> Any:
    """The same with a value somewhere in it replaced, or left out."""
    *way, last = rng.choice([keys for keys in _places(value) if keys] or [(None,)])
    if last is None or rng.random() < 0.05:
        return rng.choice(VALUES)
    at = value
    for key in way:
        at = at[key]
    if rng.random() < 0.1:
        del at[last]
    else:
        at[last] = rng.choice(VALUES)
    return value


def _hostile_cell(path: Path, rng: random.Random) -> None:
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    line = rng.choice(lines)
    line[rng.randrange(len(line))] = rng.choice(WORDS)
    if rng.random() < 0.2:
        del lines[0]
    end = rng.choice(["\n", "\r\n", "\r", ""])
    path.write_bytes(("\n".join(map(",".join, lines)) + end).encode("utf-8", "surrogatepass"))


def _hostile_member(path: Path, rng: random.Random) -> None:
    with np.load(path) as archive:
        members = dict(archive)
    name = rng.choice([*members, "meta", "meta", "meta"])
    if name == "meta":
        meta = with_hostile_value(json.loads(members["meta"].tobytes()), rng)
        members["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    else:
        array = members[name]
        part = rng.choice([slice(None), slice(0, 1), slice(-1, None)])
        values = NUMBERS if array.dtype.kind == "f" else COUNTS
        with np.errstate(all="ignore"):
            array[part] = np.array(rng.choice(values)).astype(array.dtype)
    np.savez(path, **members)


def _name(path: Path, rng: random.Random) -> None:
    """Another name, or another file beside it, or a directory of such a name."""
    other = path.with_name(rng.choice(NAMES) + path.suffix)
    kind = rng.choice(["renamed", "copied", "directory"])
    if kind == "directory":
        other.mkdir(exist_ok=True)
    elif kind == "copied":
        shutil.copyfile(path, other)
    else:
        path.replace(other)


def _no_directory(path: Path, rng: random.Random) -> None:
    """In the place of its directory a file, a pipe, a link or nothing."""
    folder = path.parent
    shutil.rmtree(folder)
    kind = rng.choice(["gone", "file", "pipe", "link"])
    if kind == "file":
        folder.touch()
    elif kind == "pipe":
        os.mkfifo(folder)
    elif kind == "link":
        folder.symlink_to(rng.choice(["nowhere", folder.name, "/dev/zero", "."]))


def _way_out(path: Path, rng: random.Random) -> None:
    """In the place of something that the program writes a link out of the run, or a pipe."""
    run = path.parent.parent if path.parent.name in ("samples", "checkpoints") else path.parent
    names = ["lock", "report.html", "page.html", "samples", "checkpoints"]
    names += ["samples/step-00000002.txt", "samples/step-00000099.txt", "metrics.csv"]
    path = rng.choice([path, *(run / name for name in names)])
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    kind = rng.choice(["out", "out", "out", "pipe", "endless"])
    if kind == "pipe":
        os.mkfifo(path)
    else:
        out = OUTSIDE.resolve() / path.relative_to(run)
        path.symlink_to(out if kind == "out" else "/dev/zero")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _bytes, _bit, _cut, _replaced, _other_kind, _other_kind, _field, _field, _field, _name,
    _way_out, _way_out,
)  # fmt: skip


UNSUITED = ValueError, IndexError, OSError, EOFError, RecursionError, BadZipFile
"""Errors of damages that do not suit what an earlier one has left."""


def _files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())


def damage(run: Path, rng: random.Random) -> list[str]:
    """Damage one to three files of a run; what was done."""
    done = []
    for _ in range(rng.randint(1, 3)):
        files = [path for path in _files(run) if path.stat().st_size < 2**20]
        if not files:
            break
        matter = [path for path in files if path.suffix in (".json", ".csv", ".npz")]
        path, how = rng.choice(files + 2 * matter), rng.choice(DAMAGES)
        if path.parent != run and rng.random() < 0.05:
            how = _no_directory
        # a second damage may find no field or no other file in what the first has left
        with contextlib.suppress(*UNSUITED):
            how(path, rng)
        done.append(f"{how.__name__} {path.relative_to(run)}")
    return done


# ---- what must come of it ----------------------------------------------------------------------


class TooLongError(BaseException):
    """A command does not end."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def call(words: list[str], seconds: float = SECONDS) -> tuple[int, str, str]:
    """Run a command in this process: its exit code, what it told, its answer."""
    streams = sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    sys.stdout, sys.stderr = out, err
    code: Any = None
    try:
        with _limited(seconds):
            cli.main(words)
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout, sys.stderr = streams
        for stream in (out, err):
            stream.flush()
    told, answer = (s.buffer.getvalue().decode(errors="replace") for s in (err, out))
    return code, told, answer


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} in JSON")


def check_end(code: int, told: str) -> None:
    """A command must end with exit code 0, 1 or 2, and in words."""
    assert code in (0, 1, 2), (code, told)
    assert "Traceback" not in told, told
    assert code == 0 or told.startswith("error: ") or "\nerror: " in told, told


def check(words: list[str]) -> int:
    """Run a command, and see that it ends as it should; its exit code."""
    code, told, answer = call(words)
    check_end(code, told)
    assert "not enough memory" not in told
    if code == 0 and "--json" in words:
        json.loads(answer, parse_constant=_no_constant)
    return code


def trial(sound: Path, seed: int, place: Path = Path("damaged")) -> list[int]:
    """Damage a copy of a run, give it to each command; the exit codes.

    Raises:
        AssertionError: a command ended otherwise than it should.
    """
    shutil.rmtree(place, ignore_errors=True)
    run = Path(shutil.copytree(sound, place / sound.name))
    shutil.copytree(sound, place / "20260101-000000-other")
    done, codes, outside = damage(run, random.Random(seed)), [], snapshot(OUTSIDE)
    either = {"json": " --json" * (seed % 2), "text": " text.txt" * (seed // 2 % 2)}
    for command in COMMANDS:
        words = command.format(run=run, **either).split()
        try:
            codes.append(check(words))
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {done}: {command}: {error!r}") from error
    assert codes[0] == 0, f"seed {seed}: {done}: one damaged run hides the others"
    assert snapshot(OUTSIDE) == outside, f"seed {seed}: {done}: changed outside of the run"
    for page in (run / "report.html", run / "page.html"):
        if page.is_file() and not page.is_symlink() and page.stat().st_size < 2**24:
            assert SECRET.encode() not in page.read_bytes(), (seed, done)
    if codes[-1] == 0:  # it has gone on: then it is sound again
        assert Run(run).info.status == "done", (seed, done)
        assert Run(run).checkpoints.last_sound()[2] is None, (seed, done)
    return codes


def campaign(
    folder: Path,
    seeds: range,
    make: Callable[[], Path] = sound_run,
    trial: Callable[[Path, int], list[int]] = trial,
) -> Counter[int]:
    """Trials in a folder of their own; how often there was each exit code."""
    before, app = Path.cwd(), cli.app
    vars(cli)["app"] = typer.main.get_command(app)  # made once: it takes longer than all the rest
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        sound = make()
        return Counter(code for seed in seeds for code in trial(sound, seed))
    finally:
        vars(cli)["app"] = app
        os.chdir(before)
