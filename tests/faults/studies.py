"""Whole studies, damaged: every command ends with exit code 0, 1 or 2 and in words."""

import contextlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grucli.config import flatten, read_file, resolve
from tests.faults import directories, fuzz
from tests.texts import prose

SWEEP = """\
sweep: {trials: 4, sampler: random, seed: 1}
model: {hidden: {choice: [3, 4]}, dropout: {range: [0.0, 0.4], step: 0.2}}
optim: {lr: {log: [1e-3, 1e-1]}, betas: {choice: [[0.9, 0.99], [0.8, 0.9]]}, warmup: 0}
train: {batch: 2, window: 8, steps: 4, eval_every: 2, log_every: 1, workers: 1, products: numpy}
sample: {length: 0}
"""
COMMANDS = (
    "sweep --show runs/study --json",
    "runs runs/study",
    "sweep runs/sweep.yaml text.txt --name study",
)
SECONDS = 30.0
"""Longest time that a command may take; it may train four trials of four steps."""

OUTSIDE = "outside.txt"
"""A file of the user that no command may change."""

LINES: tuple[Any, ...] = ([], 1, None, "x", {}, {"op_code": 99}, {"op_code": -1}, {"op_code": 4})
LINES += ({"op_code": 8, "worker_id": "a", "trial_id": 0, "user_attr": {"grucli": 5}},)
LINES += ({"op_code": 2, "worker_id": "a", "study_id": 0, "user_attr": {"grucli": []}},)
LINES += ({"op_code": 1, "worker_id": "a", "study_id": 0},)
"""What stands in a journal in the place of a line, or between two."""

RAW = (b"\n", b"\0\n", b"[" * 100_000 + b"\n", b'{"op_code": 1e999}\n', b"\xff\n", b"{", b"NaN\n")
SPICES = ("1.0e-300", "1.0e+400", "[-1.0e308, 1.0e308]", ".nan", "9" * 400, "{range: [0, 1]}")
SPICES += ("{range: [0.0, 0.5], step: 1.0e-300}", "{log: [1.0e-320, 1]}", "{choice: []}", "null")
SPICES += ("{choice: [[]]}", "{choice: [{}]}", "{range: [1, 2], step: -1}", "[]", "''", "true")
"""What stands in a sweep file in the place of a value."""


def sound() -> Path:
    """A study of four trials below ``sound``, one of which has lost its worker."""
    Path("text.txt").write_text(prose(300), encoding="utf-8")
    Path("sweep.yaml").write_text(SWEEP, encoding="utf-8")
    code, told, _ = directories.call("sweep sweep.yaml text.txt --runs-dir sound".split(), SECONDS)
    assert code == 0, told
    journal = Path("sound/sweep/study.journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))  # the last result is not told
    return journal.parent


# ---- kinds of damage


def _lines(study: Path, rng: random.Random) -> None:
    """Lines of the journal changed, put in, left out, repeated or exchanged."""
    journal = study / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        at, kind = rng.randrange(len(lines)), rng.randrange(8)
        if kind < 3:
            changed = directories.with_hostile_value(json.loads(lines[at]), rng)
            lines[at] = json.dumps(changed).encode() + b"\n"
        elif kind < 5:
            lines.insert(at, json.dumps(rng.choice(LINES)).encode() + b"\n")
        elif kind == 5:
            lines.insert(at, rng.choice(RAW))
        elif kind == 6:
            lines.insert(at, lines.pop(rng.randrange(len(lines))))
        else:
            lines[at] = lines[at] * rng.randrange(3)
    journal.write_bytes(b"".join(lines))


def _sweep_file(study: Path, rng: random.Random) -> None:
    """The sweep file: bytes, or a value."""
    path = study.with_name("sweep.yaml")
    if rng.random() < 0.5:
        path.write_bytes(fuzz.mutated(path.read_bytes(), rng))
        return
    text = path.read_text(encoding="utf-8")
    at = rng.choice([place for place, sign in enumerate(text) if sign == ":"])
    end = min(text.find(sign, at) for sign in ",}" if text.find(sign, at) > 0)
    path.write_text(f"{text[:at]}: {rng.choice(SPICES)}{text[end:]}", encoding="utf-8")


def _link(study: Path, rng: random.Random) -> None:
    """A link, a pipe or nothing in the place of a file or directory."""
    path = rng.choice(sorted([*study.glob("*"), *study.glob("claims/*")]))
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    kind = rng.choice(["pipe", "link", "link", "gone"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        others = ["/dev/zero", path.name, "nowhere", "..", "trial-0000", Path(OUTSIDE).absolute()]
        path.symlink_to(rng.choice(others))


def _files(study: Path, rng: random.Random) -> None:
    """Any files of the study, as those of a run."""
    directories.damage(study, rng)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _lines, _lines, _sweep_file, _link, _files,
)  # fmt: skip


# ---- what must come of it


def _check_best(study: Path, answer: str) -> None:
    """The settings in best.yaml are those of the trial that is told as the best one."""
    told = json.loads(answer)
    best = next((one for one in told["trials"] if one["number"] == told["best"]), None)
    if best is None:
        return
    found = flatten(resolve([("best", read_file(study / "best.yaml"))]))
    asked = flatten(resolve([("", best["values"])]))
    assert all(found[key] == asked[key] for key in best["values"]), (best, found)


def trial(original: Path, seed: int) -> list[int]:
    """Damage a copy of a study, give it to each command; the exit codes.

    Raises:
        AssertionError: a command ended otherwise than it should.
    """
    place, rng, codes = Path("runs"), random.Random(seed), []
    shutil.rmtree(place, ignore_errors=True)
    study = Path(shutil.copytree(original, place / "study"))
    shutil.copy("sweep.yaml", place)
    Path(OUTSIDE).write_text("mine", encoding="utf-8")
    how = [rng.choice(DAMAGES) for _ in range(rng.randint(1, 2))]
    for one in how:
        # a second damage may not find what it looks for in what the first has left
        with contextlib.suppress(ValueError, OSError, RecursionError, IndexError):
            one(study, rng)
    for command in COMMANDS:
        try:
            codes.append(_check(study, command))
        except BaseException as error:
            names = [one.__name__ for one in how]
            raise AssertionError(f"seed {seed}: {names}: {command}: {error!r}") from error
    return codes


def _check(study: Path, command: str) -> int:
    """Run a command, and see that it ends as it should; its exit code."""
    code, told, answer = directories.call(command.split(), SECONDS)
    directories.check_end(code, told)
    if code == 0 and "--json" in command and "not written" not in told:
        _check_best(study, answer)
    assert Path(OUTSIDE).read_text(encoding="utf-8") == "mine"
    return code


def campaign(folder: Path, seeds: range) -> Counter[int]:
    """Trials in a folder of their own; how often there was each exit code."""
    return directories.campaign(folder, seeds, sound, trial)
