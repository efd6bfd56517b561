"""The ends of documents, wherever a text is cut into parts."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli.config import Data
from grucli.data import text_files
from grucli.data.corpus import read
from grucli.data.documents import (
    Documents,
    between,
    end_of,
    open_ended,
    separated,
    shown,
    split,
)
from grucli.data.vocabulary import as_read
from tests.data.helpers import problem, text_of

KINDS: list[dict[str, Any]] = [
    {"documents": "paragraph"},
    {"documents": "file"},
    {"separator": "<|end|>"},
    {"separator": "\n%\n"},
    {"separator": "é"},
]
MARKS = {
    "paragraph": "\n \n\n",
    "file": "\x1e",
    "<|end|>": "\n<|end|>\n",
    "\n%\n": "\n%\n",
    "é": "é",
}


def data_of(kind: dict[str, Any], **more: Any) -> Data:
    return Data.model_validate({**kind, **more})


def mark_of(data: Data) -> str:
    return MARKS[data.separator or data.documents or ""]


def expected(text: str, data: Data) -> str:
    """The same for a whole text, from the rules: each document is without blanks at its ends."""
    text = f"\n{text}\n"
    if data.documents == "paragraph":
        parts = re.split(r"\x1e|\n(?:[ \t]*\n)+", text)
    else:
        mark = data.separator or "\x1e"
        line_end = "(?=\n)" * mark.endswith("\n")
        parts = re.split(f"\x1e|{re.escape(mark.removesuffix(chr(10)))}{line_end}", text)
    stripped = (re.sub(r"\A([ \t]*\n)+", "", part.rstrip(" \t\n")) for part in parts)
    return "".join(part + "\x1e" for part in stripped if part)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_documents_do_not_depend_on_where_a_text_is_cut(
    kind: dict[str, Any], line_end: str
) -> None:
    data = data_of(kind)
    mark = mark_of(data)
    text = f"\n \nOne.\n  two{mark}{mark} Three \n four\n\n\n<|en{mark}\n five\x1e\x1e six \n \n"
    whole = expected(text, data)
    assert whole.count("\x1e") >= 4
    text = text.replace("\n", line_end)
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            documents = Documents(data)
            parts = [text[:first], text[first:second], text[second:]]
            read = "".join(documents.add(part) for part in parts)
            read += documents.add("", final=True)
            assert read.replace("\r\n", "\n") == whole


@given(
    text=st.text(st.sampled_from("a \t\n\r\x1e<|end>%é"), max_size=40),
    kind=st.sampled_from(KINDS),
    chunk=st.integers(1, 7),
)
def test_any_text_is_separated_as_the_rules_say(
    text: str, kind: dict[str, Any], chunk: int
) -> None:
    data, documents = data_of(kind), Documents(data_of(kind))
    parts = [text[lo : lo + chunk] for lo in range(0, len(text), chunk)]
    read = "".join(documents.add(part) for part in parts) + documents.add("", final=True)
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read.replace("\r\n", "\n").replace("\r", "\n") == expected(unified, data)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("level", ["char", "byte"])
def test_files_are_read_as_documents(
    kind: dict[str, Any], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(kind, level=level)
    Path("texts").mkdir()
    text = f"\n\nErste Zeile\nü{mark_of(data)}Zweites\n"
    for line_end, name in (("\n", "1"), ("\r\n", "2"), ("\n", "3")):
        content = text.replace("\n", line_end).encode()
        Path(f"texts/{name}.txt").write_bytes(content if name != "3" else b" \n\n")
    whole = 2 * "Erste Zeile\nü\x1eZweites\x1e"
    for chunk in (1, 2, 3, 2**20):
        monkeypatch.setattr(text_files, "CHUNK", chunk)
        assert text_of(read(["texts"], data)).replace("\r\n", "\n") == whole
        kept = read(["texts"], data.model_copy(update={"newlines": "keep"}))
        assert text_of(kept).replace("\r\n", "\n") == whole


def test_lines_and_plain_texts_stay_as_they_are() -> None:
    text = "\n\na \n\nb\x1ec\n"
    Path("t.txt").write_text(text, encoding="utf-8")
    for level in ("char", "byte"):
        for documents in (None, "line"):
            data = Data.model_validate({"documents": documents, "level": level})
            assert text_of(read(["t.txt"], data)) == text
            assert as_read(text, data) in (text, text.encode())
    assert end_of(Data()) is None
    assert end_of(Data(documents="line")) == 10


def test_the_end_of_a_document_is_never_too_rare() -> None:
    Path("t.txt").write_text("aaab\n\nab", encoding="utf-8")
    result = read(["t.txt"], Data(min_count=3, documents="paragraph"))
    assert result.vocabulary.id_of(0x1E) is not None


def test_a_text_that_is_given_ends_only_where_it_says_so() -> None:
    paragraph, file = Data(documents="paragraph"), Data(documents="file")
    assert as_read("One ", paragraph) == "One "
    assert as_read("One\r\n \r\nTwo\n", paragraph) == "One\x1eTwo\n"
    assert as_read("\n\nOne\n\n\n", paragraph) == "One\x1e"
    assert as_read("One\n\nTwo", file) == "One\n\nTwo"
    fortunes = Data(separator="\n%\n")
    assert as_read("%\nHi\n%\r\n%\n\n%\nthere\n%", fortunes, whole=True) == "Hi\x1ethere\x1e"
    assert as_read("a\nb\n\n", Data(separator="\n")) == "a\x1eb\x1e"
    assert as_read(" \n", paragraph) == as_read("", file) == ""
    assert as_read("  ", file) == "  "
    assert as_read("Hi", Data(separator="<|end|>")) == "Hi"
    assert as_read("é—x", Data(separator="—", level="byte")) == "é\x1ex".encode()
    assert separated("\n\nHi<|end", Data(separator="<|end|>")) == "Hi<|end"


def test_what_ends_the_document_of_a_file_is_left_out_of_a_prompt() -> None:
    assert open_ended(b"One \n", Data()) == b"One \n"
    assert open_ended(b"One\r\n", Data(documents="line")) == b"One"
    assert open_ended(b"One\n\n \n", Data(documents="paragraph")) == b"One"
    assert open_ended(b"One\n<|end|>\n", Data(separator="\n<|end|>\n")) == b"One"


def test_what_is_shown_between_documents() -> None:
    assert shown(b"a\nb\n", Data(documents="line")) == b"a\nb\n"
    assert shown(b"a\x1eb", Data()) == b"a\x1eb"
    assert shown(b"a\x1eb\x1e", Data(documents="paragraph")) == b"a\n\nb"
    assert shown(b"a\x1eb", Data(documents="file")) == b"a\n---\nb"
    assert between(Data()) == between(Data(separator=";")) == "\n---\n"


def test_a_file_of_blanks_is_empty() -> None:
    Path("t.txt").write_text(" \n\n", encoding="utf-8")
    assert (
        problem("t.txt", documents="file") == "t.txt: the file holds no text; give a text to read"
    )


@given(st.lists(st.text("ab\n", max_size=5), max_size=5))
def test_parts_are_split_as_the_whole(parts: list[str]) -> None:
    *lines, last = "".join(parts).split("\n")
    assert list(split(parts, "\n")) == lines + [last] * bool(last)
    assert list(split([part.encode() for part in parts], b"\n")) == [
        one.encode() for one in split(parts, "\n")
    ]


def test_a_whole_text_ends_its_last_document() -> None:
    for data, end in ((Data(documents="line"), "\n"), (Data(documents="file"), "\x1e")):
        for text in ("a", "", f"a{end}"):
            ended = text if text.endswith(end) else text + end
            assert as_read(text, data, whole=True) == ended
            assert as_read(text, data.model_copy(update={"level": "byte"}), whole=True) == (
                ended.encode()
            )
    assert as_read("a", Data(), whole=True) == "a"
