import json
from functools import partial
from pathlib import Path

import pytest

from grucli.errors import CheckpointError
from grucli.run.records import (
    HEADER,
    RunInfo,
    metrics_until,
    read_info,
    read_metrics,
    read_pointer,
)

PATH = Path("file")
NINES = "9" * 5000


def info_of(text: str) -> RunInfo:
    PATH.write_text(text, encoding="utf-8")
    return read_info(PATH)


@pytest.mark.parametrize("value", ["null", '"abc"', "[]", "{}", "-1", "true", "NaN", "1e999"])
def test_time_used_that_is_not_a_number_of_seconds_is_unknown(value: str) -> None:
    assert info_of(f'{{"elapsed_s": {value}, "step": 3}}').elapsed_s is None
    assert info_of(f'{{"elapsed_s": {value}, "step": 3}}').step == 3


@pytest.mark.parametrize(
    "paths", ["[]", "{}", '"a"', "[1]", '["a\\u0000b"]', '["\\ud800"]', '[""]', "null"]
)
def test_paths_that_no_file_can_have_are_unknown(paths: str) -> None:
    assert info_of(f'{{"corpus": {{"paths": {paths}}}}}').corpus.paths is None


def test_a_path_that_is_not_utf_8_is_one() -> None:
    assert info_of('{"corpus": {"paths": ["caf\\udce9"]}}').corpus.paths == ["caf\udce9"]


def test_what_others_have_written_survives() -> None:
    written = {"step": 3, "mine": {"a": [1]}, "corpus": {"paths": ["t"], "license": "\ud800"}}
    info = info_of(json.dumps(written))
    assert info.to_dict() == written
    assert info_of(json.dumps(info.to_dict() | {"step": 4})).to_dict() == written | {"step": 4}


def test_of_a_run_without_run_json_nothing_is_known() -> None:
    assert read_info(Path("nowhere")) == RunInfo()


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"\\ud800": 1}', "[" * 10**5, f'{{"step": {NINES}}}']
)
def test_a_damaged_run_json_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(CheckpointError, match="file: damaged") as caught:
        info_of(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": None},
        {"file": ""},
        {"file": "a\0b"},
        {"file": "\ud800"},
        {"file": "/"},
        {"step": "4"},
        {"step": -1},
        {"step": True},
        {"loss": float("nan")},
        {"loss": "1"},
        {"sha256": 1},
    ],
)
def test_a_damaged_pointer_is_refused(changes: dict[str, object]) -> None:
    sound = {"file": "runs/step-00000004.npz", "step": 4, "loss": 1, "sha256": "0"}
    PATH.write_text(json.dumps(sound), encoding="utf-8")
    pointer = read_pointer(PATH)
    assert pointer is not None
    assert (pointer.file, pointer.loss) == ("step-00000004.npz", 1.0)
    PATH.write_text(json.dumps(sound | changes), encoding="utf-8")
    with pytest.raises(CheckpointError, match="file: damaged"):
        read_pointer(PATH)


# ---- metrics.csv

HEAD = ",".join(HEADER).encode()


def row(step: object, loss: object = 1.5) -> bytes:
    return f"{step},0.5,40,train,{loss},2.16,0.01,0.3,1000,2.5".encode()


def steps(content: bytes) -> list[int]:
    PATH.write_bytes(content)
    return [row.step for row in read_metrics(PATH)]


DAMAGES = {
    "not UTF-8": row("\xff").replace(b"\xc3\xbf", b"\xff"),
    "an open quote": b'"' + row(2),
    "a long cell": row(2, "x" * 200_000),
    "another digit": row("\u00b2"),
    "many digits": row(NINES),
    "a step that is no number": row("abc"),
    "a negative step": row(-1),
    "a loss that is no number": row(2, "abc"),
    "a loss that is not finite": row(2, "nan"),
    "too few cells": b"2,0.5",
    "too many cells": row(2) + b",1",
    "U+0000": b"\0" * 50,
    "no line": b"",
    "a second header": HEAD,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_line_that_grucli_does_not_write_is_refused_and_named(name: str) -> None:
    PATH.write_bytes(b"\n".join([HEAD, row(1), DAMAGES[name], row(3), b""]))
    for read in (read_metrics, partial(metrics_until, step=2)):
        with pytest.raises(CheckpointError, match="file: line 3 is not one that grucli writes"):
            read(PATH)


COLUMNS = {
    "in another order": b",".join([b"note", *reversed(HEAD.split(b","))]),
    "after a byte order mark": b"\xef\xbb\xbf" + HEAD,
    "with other line ends": HEAD + b"\r",
    "not named": row(1),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_grucli_does_not_write_are_refused(name: str) -> None:
    PATH.write_bytes(COLUMNS[name] + b"\n" + row(4) + b"\n")
    with pytest.raises(CheckpointError, match="file: line 1 is not one that grucli writes"):
        read_metrics(PATH)


def test_a_line_that_a_crash_has_cut_short_is_nobodys_loss() -> None:
    whole = HEAD + b"\n" + row(1) + b"\n"
    for content in (whole, whole + row(2)[:9], whole + row(2), whole + b"\0" * 50):
        assert steps(content) == [1]
        assert metrics_until(PATH, 9).encode() == whole
    assert steps(b"") == steps(HEAD[:9]) == []


def test_rows_after_a_step_are_left_out() -> None:
    lines = [HEAD, row(1), row(2), row(3), b""]
    assert steps(b"\n".join(lines)) == [1, 2, 3]
    assert metrics_until(PATH, 2).encode() == b"\n".join([*lines[:3], b""])


def test_metrics_that_never_end_are_refused() -> None:
    with PATH.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="file: cannot be read: longer than"):
        read_metrics(PATH)
