import json
import subprocess
import sys
import time
from pathlib import Path

from grucli.files import Lock
from grucli.sweeps.storage import JournalLock, WaitingLock, journal, quietly

HOLD = """
import sys, time
from pathlib import Path
from grucli.sweeps.storage import JournalLock
JournalLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.touch()
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with JournalLock(path):
        assert time.monotonic() - began < 1


def test_a_lock_waits_for_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with WaitingLock(path):
        assert not Lock(path).acquire()
    with WaitingLock(path):
        pass


def test_a_torn_line_of_a_journal_is_removed(tmp_path: Path) -> None:
    with quietly(""):
        one = journal(tmp_path)
        one.create_new_study([1], "a")  # type: ignore[list-item]
    path = tmp_path / "study.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":0,"stu')
    with quietly(""):
        journal(tmp_path).create_new_study([1], "b")  # type: ignore[list-item]
        names = [one.study_name for one in journal(tmp_path).get_all_studies()]
    assert names == ["a", "b"]
    assert all(json.loads(line) for line in path.read_text().splitlines())
