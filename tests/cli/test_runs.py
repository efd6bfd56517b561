"""``grucli runs``."""

import json
import os
import shutil
from pathlib import Path

from tests.cli.helpers import posix
from tests.conftest import Grucli


def test_runs_lists_the_newest_first(grucli: Grucli, trained: Path) -> None:
    line = grucli("runs", trained.parent).out.splitlines()[1].split()
    assert line[:2] == [trained.name, "done"]
    assert line[3:] == ["char", "30", "GRU", "1x12", "0.11", "0.5", "30", "steps", "text.txt"]
    assert json.loads(grucli("runs", trained.parent, "--json").out)[0]["step"] == 30
    Path("runs/broken").mkdir(parents=True)
    Path("runs/broken/run.json").write_text("{", encoding="utf-8")
    assert "damaged run.json" in grucli("runs").out


def test_no_runs_yet(grucli: Grucli) -> None:
    Path("runs").mkdir()
    assert "there are no runs in runs yet" in grucli("runs").err


@posix
def test_one_damaged_run_does_not_hide_the_others(grucli: Grucli, trained: Path) -> None:
    shutil.copytree(trained, Path("runs", trained.name))
    for name, content in (("nested", b"[" * 100_000), ("latin", b"\xff"), ("pipe", b"")):
        Path("runs", name).mkdir()
        Path("runs", name, "run.json").write_bytes(content)
    Path("runs", "pipe", "run.json").unlink()
    os.mkfifo(Path("runs", "pipe", "run.json"))
    odd = {"status": "done", "step": None, "best": 3, "corpus": {"paths": "t.txt"}, "model": []}
    Path("runs", "odd").mkdir()
    Path("runs", "odd", "run.json").write_text(json.dumps(odd), encoding="utf-8")
    rows = {row["run"]: row for row in json.loads(grucli("runs", "--json").out)}
    assert rows.pop(trained.name)["step"] == 30
    assert rows.pop("odd")["status"] == "done"
    assert {row["status"] for row in rows.values()} == {"damaged run.json"}
    assert len(rows) == 3
    assert grucli("runs").code == 0
