import errno
import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grucli.config import Data
from grucli.data import cache, corpus, text_files
from grucli.data.corpus import read
from grucli.data.windows import count_symbols, fit_windows, split
from grucli.errors import CorpusError
from grucli.evaluation import evaluate
from grucli.nn.model import Model
from tests.data.helpers import text_of
from tests.texts import prose

TEXT = prose(5000) + "Grüße 世界 \U0001f600"


@pytest.fixture(autouse=True)
def _long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand characters are many here."""
    monkeypatch.setattr(cache, "IN_MEMORY", 1000)
    Path("t.txt").write_text(TEXT, encoding="utf-8", newline="")


def entries() -> list[Path]:
    return sorted(cache.directory().iterdir())


def no_reading(*_: object) -> None:
    raise AssertionError("was encoded again")


def test_a_long_text_is_kept_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(["t.txt"], Data())
    assert [path.suffix for path in entries()] == [".ids", ".json"]
    assert first.cached_ids == entries()[0]
    with monkeypatch.context() as patch:
        patch.setattr(corpus._Numbering, "add", no_reading)
        again = read(["t.txt"], Data())
    monkeypatch.setattr(cache, "IN_MEMORY", 10**6)
    whole = read(["t.txt"], Data())
    assert whole.cached_ids is None
    assert text_of(first) == text_of(again) == text_of(whole) == TEXT
    facts = [(c.text_id, c.text_id.bytes, c.sources, c.vocabulary) for c in (first, again, whole)]
    assert facts[0] == facts[1] == facts[2]
    assert first.ids.dtype == whole.ids.dtype


def test_standard_input_and_gz_are_kept_as_well() -> None:
    code = "from grucli.data import cache; cache.IN_MEMORY = 1000; "
    code += "from grucli.config import Data; from grucli.data.corpus import read; "
    code += "c = read(['-'], Data()); print(len(c.ids), c.cached_ids.is_file())"
    done = subprocess.run(
        [sys.executable, "-c", code], input=TEXT.encode(), capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [str(len(TEXT)), "True"]


def test_other_ways_to_read_a_text_are_other_entries() -> None:
    own = read(["t.txt"], Data())
    assert read(["t.txt"], Data(val=0.5)).cached_ids == own.cached_ids
    assert read(["t.txt"], Data(), own.vocabulary).cached_ids == own.cached_ids
    others = [
        read(["t.txt"], Data(encoding="latin-1")),
        read(["t.txt"], Data(level="byte")),
        read(["t.txt"], Data(min_count=5)),
    ]
    files = {result.cached_ids for result in others} | {own.cached_ids}
    assert len(files) == 4
    plain = read(["t.txt"], Data(min_count=5)).vocabulary
    smaller = type(plain)(own.vocabulary.symbols[:30])
    for _ in range(2):  # made, then found
        skipping = read(["t.txt"], Data(), smaller, "skip")
        assert skipping.cached_ids not in files
        assert text_of(skipping) == "".join(c for c in TEXT if ord(c) in smaller.symbols)
        assert skipping.text_id.skipped == len(TEXT) - len(skipping.ids)


def test_skipping_and_reading_as_one_unknown_are_two_readings() -> None:
    data = Data(min_count=5)
    own = read(["t.txt"], data)
    assert own.rare
    for _ in range(2):  # made, then found
        skipping = read(["t.txt"], data, own.vocabulary, "skip")
        assert (skipping.text_id.skipped, len(skipping.ids)) == (own.rare, len(TEXT) - own.rare)
        again = read(["t.txt"], data, own.vocabulary)
        assert (again.rare, len(again.ids), again.cached_ids) == (
            own.rare,
            len(TEXT),
            own.cached_ids,
        )


def test_it_matters_where_files_end() -> None:
    bom = "\ufeff"
    Path("two").mkdir()
    for name in "ab":
        Path(f"two/{name}.txt").write_text(bom + TEXT, encoding="utf-8", newline="")
    Path("one.txt").write_text(2 * (bom + TEXT), encoding="utf-8", newline="")
    for _ in range(2):
        assert len(read(["two"], Data()).ids) == 2 * len(TEXT)
        assert len(read(["one.txt"], Data()).ids) == 2 * len(TEXT) + 1


def test_an_extended_vocabulary_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("old.txt").write_text("abcXYZ", encoding="utf-8")
    old = read(["old.txt"], Data()).vocabulary
    first = read(["t.txt"], Data(), old, extend=True)
    assert text_of(first) == TEXT
    assert set(map(chr, first.vocabulary.symbols)) == set(TEXT) | set("XYZ")
    resumed = read(["t.txt"], Data(), first.vocabulary)
    assert (resumed.cached_ids, resumed.vocabulary) == (first.cached_ids, first.vocabulary)
    read(["t.txt"], Data())  # now its own symbols are known
    monkeypatch.setattr(corpus._Numbering, "add", no_reading)
    again = read(["t.txt"], Data(), old, extend=True)
    assert (again.cached_ids, again.vocabulary) == (first.cached_ids, first.vocabulary)
    few = read(["t.txt"], Data(), read(["t.txt"], Data()).vocabulary, extend=True)
    assert few.cached_ids == read(["t.txt"], Data()).cached_ids


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
def test_what_can_be_read_only_once_is_read_once() -> None:
    os.mkfifo("pipe")
    code = "open('pipe', 'wb').write('fifo'.encode())"
    with subprocess.Popen([sys.executable, "-c", code]):
        result = read(["t.txt", "pipe"], Data())
    assert text_of(result) == TEXT + "fifo"


def test_standard_input_makes_no_second_entry() -> None:
    first = read(["t.txt"], Data())
    assert first.cached_ids is not None
    before = first.cached_ids.stat().st_ino
    with open("t.txt", "rb") as file:
        code = "from grucli.data import cache; cache.IN_MEMORY = 1000; "
        code += "from grucli.config import Data; from grucli.data.corpus import read; "
        code += "print(read(['-'], Data()).cached_ids)"
        done = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True)
    assert done.stdout.decode().strip() == str(first.cached_ids)
    assert first.cached_ids.stat().st_ino == before


def test_nobody_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "IN_MEMORY", 10**6)
    monkeypatch.delenv("GRUCLI_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert text_of(read(["t.txt"], Data())) == TEXT


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "gone", "no facts", "odd facts", "other facts", "facts missing"]
)
def test_a_damaged_entry_is_made_anew(damage: str) -> None:
    read(["t.txt"], Data())
    ids_file, facts_file = entries()
    raw = ids_file.read_bytes()
    if damage == "cut":
        ids_file.write_bytes(raw[:-1])
    elif damage == "flipped":
        ids_file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif damage == "gone":
        ids_file.unlink()
    else:
        facts = facts_file.read_text(encoding="utf-8")
        changed = {
            "no facts": "",
            "odd facts": "[]",
            "other facts": facts.replace('"symbols": [10, ', '"symbols": [11, '),
            "facts missing": facts.replace('"skipped"', '"slipped"'),
        }[damage]
        assert changed != facts
        facts_file.write_text(changed, encoding="utf-8")
    assert text_of(read(["t.txt"], Data())) == TEXT
    assert ids_file.read_bytes() == raw


@pytest.mark.parametrize("change", ["other ids", "too large ids", "too few symbols", "cut"])
@pytest.mark.parametrize("source", ["t.txt", "-"])
def test_an_entry_that_does_not_belong_to_the_text_is_made_anew(
    change: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hashes are right: another program or another user has written it."""
    original = read(["t.txt"], Data())
    ids_file, facts_file = entries()
    raw, ids = ids_file.read_bytes(), original.ids.copy()
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    if change == "other ids":
        ids[:] = ids[::-1].copy()
    elif change == "too large ids":
        ids[-1] = len(facts["symbols"])
    elif change == "too few symbols":
        facts["symbols"].remove(ord("ß"))
    else:
        ids = ids[:100]
    ids_file.unlink()  # the old file is still mapped
    ids_file.write_bytes(ids.tobytes())
    facts["ids_sha256"] = hashlib.sha256(ids.tobytes()).hexdigest()
    facts["check"] = cache._check({key: facts[key] for key in facts if key != "check"})
    facts_file.write_text(json.dumps(facts), encoding="utf-8")
    if source == "-":
        monkeypatch.setattr(corpus, "size_on_disk", lambda _: 0)  # as if it were a pipe
    assert text_of(read(["t.txt"], Data())) == TEXT
    assert ids_file.read_bytes() == raw


CUT = """
import os, sys
import numpy as np
from grucli.config import Data
from grucli.data import cache
from grucli.data.corpus import read
from grucli.data.windows import count_symbols, fit_windows
from grucli.errors import RunError
from grucli.evaluation import evaluate
from grucli.nn.model import Model
cache.IN_MEMORY = 1000
text = read(["long.txt"], Data())
model = Model(len(text.vocabulary), 3, 1)
os.truncate(text.cached_ids, int(sys.argv[1]))
for use in (
    lambda: count_symbols(text.ids, 99),
    lambda: fit_windows(text.ids, 2, 10).window(0),
    lambda: evaluate(model, text.ids),
):
    try:
        use()
    except RunError as error:
        assert "encoded anew" in str(error)
    else:
        raise AssertionError("ids were read that are not there")
print(len(read(["long.txt"], Data()).ids))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to cut a mapped file")
@pytest.mark.parametrize("left", [0, 9000])
def test_a_file_that_is_cut_while_it_is_mapped_ends_nothing(left: int) -> None:
    Path("long.txt").write_text(4 * TEXT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(left)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 4 * len(TEXT)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("where", ["write", "facts", "rollover"])
def test_no_place_to_keep_it(error: int, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    if where == "write":
        monkeypatch.setattr("os.fsync", fail)
    elif where == "facts":
        monkeypatch.setattr(cache, "replace_text", fail)
    else:
        monkeypatch.setattr(cache.TemporaryIds, "rollover", fail)
    with pytest.raises(CorpusError) as caught:
        read(["t.txt"], Data())
    assert os.strerror(error) in str(caught.value)
    assert "GRUCLI_CACHE" in str(caught.value)
    assert ("free some space" in str(caught.value)) == (error == errno.ENOSPC)
    assert not cache.directory().exists() or entries() == []


def test_what_a_dead_process_left_is_swept() -> None:
    cache.directory().mkdir()
    names = [f"{letter * 40}-{'0' * 16}" for letter in "ab"]
    old, new = (cache.directory() / f".{name}.ids.tmp-1-0123abcd" for name in names)
    others = [cache.directory() / name for name in (".mine.tmp-1", f".{names[0]}.ids.tmp-1")]
    for path in (old, new, *others):
        path.touch()
    for path in (old, *others):
        os.utime(path, (1, 1))
    read(["t.txt"], Data())
    assert not old.exists()
    assert all(path.exists() for path in (new, *others)), "those are somebody else's"


def test_two_processes_at_once() -> None:
    code = "from grucli.data import cache; cache.IN_MEMORY = 1000; "
    code += "from grucli.config import Data; from grucli.data.corpus import read; "
    code += "print(read(['t.txt'], Data()).ids.sum())"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)
    ]
    sums = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(sums) == 1
    assert len(entries()) == 2


def test_mapped_ids_are_read_as_those_in_memory() -> None:
    result = read(["t.txt"], Data())
    V, copy = len(result.vocabulary), result.ids.copy()
    np.testing.assert_array_equal(count_symbols(result.ids, V), count_symbols(copy, V))
    for mapped, held in zip(
        *(vars(split(ids, Data(), None)).values() for ids in (result.ids, copy)), strict=True
    ):
        np.testing.assert_array_equal(mapped, held)
    windows = fit_windows(result.ids, 4, 10), fit_windows(copy, 4, 10)
    for number in range(windows[0].per_epoch):
        x, targets = zip(*(w.window(number) for w in windows), strict=True)
        np.testing.assert_array_equal(*x)
        np.testing.assert_array_equal(*targets)
    model = Model(V, 5, 1)
    model.initialize(np.random.default_rng(0))
    assert evaluate(model, result.ids) == evaluate(model, copy)
    cache.release_pages(result.ids[7:])
    cache.release_pages(copy)
    np.testing.assert_array_equal(result.ids, copy)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRUCLI_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.directory() == Path("/elsewhere/grucli")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache" / "grucli"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache.directory() == Path.home() / "Library" / "Caches" / "grucli"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache.directory() == Path("/local/grucli/cache")


@pytest.mark.skipif(os.name == "nt", reason="needs pipes")
def test_an_entry_of_the_cache_that_is_a_pipe_is_none() -> None:
    cache.directory().mkdir()
    os.mkfifo(cache.directory() / "name.json")
    assert cache.find("name") is None


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"newlines": "keep"}, TEXT + "\r\nend"),
        ({"documents": "file"}, TEXT + "\nend\x1e"),
        ({"separator": "end"}, TEXT + "\x1e"),
    ],
)
def test_a_text_whose_end_is_read_otherwise_is_another_entry(
    how: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "CHUNK", 1000)  # only the first chunk is compared
    Path("t.txt").write_text(TEXT + "\r\nend", encoding="utf-8", newline="")
    assert text_of(read(["t.txt"], Data())) == TEXT + "\nend"
    for _ in range(2):
        assert text_of(read(["t.txt"], Data.model_validate(how))) == expected


def test_a_gz_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    first = read(["t.txt.gz"], Data())
    monkeypatch.setattr(cache, "IN_MEMORY", Path("t.txt.gz").stat().st_size)
    monkeypatch.setattr(corpus._Numbering, "add", no_reading)
    assert read(["t.txt.gz"], Data()).cached_ids == first.cached_ids
