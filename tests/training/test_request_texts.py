"""Texts that are given as values: a string, lines, or any iterable of texts."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import ArgumentError, GrucliError, UsageError
from grucli.run.run import Run
from grucli.training.api import train, train_events
from grucli.training.events import Finished
from tests.cli.helpers import LIST
from tests.conftest import Grucli
from tests.texts import prose

SMALL: dict[str, Any] = {
    "model.hidden": 8,
    "train.batch": 4,
    "train.window": 16,
    "train.workers": 1,
    "sample.length": 12,
}
TEXT, LINES = prose(4000), LIST.splitlines()
TEXTS = ["".join(LIST.splitlines(keepends=True)[lo : lo + 4]) for lo in range(0, 200, 4)]


def small(**options: Any) -> Run:
    settings = SMALL | options.pop("settings", {})
    return train(**{"steps": 6, "settings": settings, **options})


class Column:
    """As a column of a table: its values, by iteration alone."""

    def __init__(self, values: list[str]) -> None:
        self.values = values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)


def same(one: Run, other: Run) -> bool:
    left, right = one.checkpoint.model.params.flat, other.checkpoint.model.params.flat
    return one.checkpoint.text_id == other.checkpoint.text_id and np.array_equal(left, right)


def test_a_text_is_learned_like_a_file() -> None:
    Path("diary.txt").write_text(TEXT, encoding="utf-8")
    run = small(text=TEXT)
    assert same(run, train("diary.txt", steps=6, settings=SMALL))
    assert run.path.name.endswith("-text")
    assert (run.path / "corpus.txt").read_text(encoding="utf-8") == TEXT
    assert run.info.corpus.paths == ["corpus.txt"]
    assert small(text="\ufeff" + TEXT + "\r\nß漢😀\r\n").settings.data.documents is None


@pytest.mark.parametrize("form", [list, tuple, iter, Column, np.array], ids=lambda f: f.__name__)
def test_lines_are_a_list_in_any_form(form: Any) -> None:
    Path("list.txt").write_text(LIST, encoding="utf-8")
    run = small(lines=form(LINES))
    assert run.settings.data.documents == "line"
    listed = train("list.txt", steps=6, settings=SMALL | {"data.documents": "line"})
    assert same(run, listed)


def test_each_text_is_a_document() -> None:
    run = small(texts=(text for text in TEXTS))
    assert (run.settings.data.documents, run.settings.data.separator) == (None, "\x1e")
    ids = run.text.ids
    assert (ids == run.lm.model.separator).sum() == len(TEXTS)
    assert run.lm.vocabulary.decode(ids).decode() == "".join(t.strip() + "\x1e" for t in TEXTS)
    Path("texts").mkdir()
    for number, text in enumerate(TEXTS):
        Path(f"texts/{number:02}.txt").write_text(text, encoding="utf-8")
    files = train("texts", steps=6, settings=SMALL | {"data.documents": "file"})
    np.testing.assert_array_equal(files.text.ids, ids)


def test_settings_have_priority() -> None:
    both = small(texts=TEXTS, settings={"data.documents": "paragraph"})
    assert both.settings.data.documents == "paragraph"
    Path("s.yaml").write_text("data: {documents: null}\n", encoding="utf-8")
    assert small(lines=LINES, config="s.yaml").settings.data.documents == "line"
    lines = small(lines=LINES)
    more = small(texts=TEXTS, init_from=lines.path, extend_vocabulary=True)
    assert more.settings.data.document == "document"


def test_the_text_is_found_wherever_the_run_is(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = {"optim.schedule": "constant", "optim.lr": 0.05}
    whole = small(texts=TEXTS, steps=12, settings=steady)
    run = small(texts=TEXTS, settings=steady)
    shutil.move(run.path, "moved")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    moved = "../moved"
    assert grucli("train", "--resume", moved, "--steps=12", "-q").code == 0
    assert json.loads(Path(moved, "run.json").read_text(encoding="utf-8"))["corpus"]["paths"] == [
        "corpus.txt"
    ]
    assert same(Run(moved), Run(Path("..", whole.path)))
    shutil.move(moved, "again")
    assert grucli("eval", "again", "--split", "val").code == 0
    assert "trained on this text" in grucli("eval", "again", "again/corpus.txt").err
    assert "No validation text is shown" not in Path("again/report.html").read_text("utf-8")
    assert grucli("report", "again", "--force").code == 0
    page = grucli("page", "again")
    assert page.code == 0
    assert "its training text" in Path("again/page.html").read_text(encoding="utf-8")
    Path("again/corpus.txt").unlink()
    gone = grucli("train", "--resume", "again", "--steps=20")
    assert gone.code == 2
    assert "again/corpus.txt: the text of the run is not there; copy it into" in gone.err


def test_events_of_a_text_and_nothing_is_read_before() -> None:
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in LINES:
            read.append(line)
            yield line

    events = train_events(lines=lines(), steps=4, settings=SMALL)
    assert not read
    assert isinstance([*events][-1], Finished)
    assert len(read) == len(LINES)


class BrokenError(Exception):
    pass


def test_an_error_of_an_iterable_is_its_own() -> None:
    def broken() -> Iterator[str]:
        yield "one"
        raise BrokenError

    with pytest.raises(BrokenError):
        small(lines=broken())
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "name a text to train on"),
        ({"text": None, "lines": None}, "name a text to train on"),
        ({"text": ""}, "text holds no text; give one to train on"),
        ({"lines": []}, "lines holds no text; give one to train on"),
        ({"lines": ["", ""]}, "only one symbol"),
        ({"texts": [" ", "\n"]}, "texts: the file holds no text"),
        ({"text": b"abc"}, "text is not a string: b'abc'"),
        ({"text": ["abc"]}, "text is not a string: ['abc']"),
        ({"lines": 5}, "lines must be a list of strings, not 5"),
        ({"texts": np.array("abc")}, "texts must be a list of strings, not array('abc'"),
        ({"lines": np.array([["abc"]])}, "lines must be a list of strings"),
        ({"lines": "abc"}, "lines must be a list of strings, not 'abc'; a single one is given as"),
        ({"lines": ["a", None]}, "lines number 2 is not a string: None"),
        ({"lines": ["a", "b", float("nan")]}, "lines number 3 is not a string: nan"),
        ({"texts": [b"a"]}, "texts number 1 is not a string: b'a'"),
        ({"lines": ["a", "b\n"]}, "lines number 2 holds a line end: 'b\\n'"),
        ({"lines": ["a\rb"]}, "lines number 1 holds a line end"),
        ({"texts": ["a", "b\x1ec"]}, "texts number 2 holds U+001E"),
        ({"texts": ["a", "\ud800"]}, "texts number 2 holds half of a surrogate pair"),
        ({"text": "ab\udfff"}, "text holds half of a surrogate pair"),
        ({"text": "a", "lines": ["b"]}, "text and lines are given; keep one"),
        ({"texts": TEXTS, "settings": {"data.documents": "line"}}, "give lines instead of texts"),
        (
            {"text": TEXT, "settings": {"data.encoding": "cp1252"}},
            "data.encoding=cp1252 is for files",
        ),
        ({"text": TEXT, "resume": "run"}, "text and resume are given; keep one"),
        ({"text": TEXT, "mpi": True}, "text and mpi are given; keep one"),
        ({"texts": ["alone and nothing else"]}, "so it is a single document"),
    ],
)
def test_what_is_no_text_is_named_and_nothing_is_written(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(GrucliError) as caught:
        small(**options)
    assert said in str(caught.value)
    assert "/" not in str(caught.value).replace("corpus python-reference", "")
    assert not Path("runs").exists()
    assert isinstance(caught.value, UsageError | ArgumentError)


def test_files_and_a_text_are_not_both_given() -> None:
    with pytest.raises(UsageError, match="text and files are given; keep one"):
        train("diary.txt", text="abc")


def test_lines_of_a_column_are_scored() -> None:
    lm = grucli.load(small(lines=LINES).path)
    expected = lm.score_lines(LINES[:5])
    for form in (Column, np.array, iter):
        np.testing.assert_array_equal(lm.score_lines(form(LINES[:5])), expected)
