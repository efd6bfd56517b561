import gzip

import pytest

from grucli.config import Data
from grucli.data import text_files
from grucli.data.text_lines import lines_of
from grucli.errors import CorpusError
from tests.cli.helpers import write

CASES = [
    (b"", []),
    (b"\n", [""]),
    (b"a", ["a"]),
    (b"a\n", ["a"]),
    (b"a\n\nb", ["a", "", "b"]),
    (b"a\r\nb\rc\r\n", ["a", "b", "c"]),
    (b"\xef\xbb\xbfa\x00\xc3\xa9\n", ["a\0\u00e9"]),
    (b"x" * 5000 + b"\ny", ["x" * 5000, "y"]),
    ("\U0001f600\u4f60\u2028\x0b\x85\n".encode(), ["\U0001f600\u4f60\u2028\x0b\x85"]),
]


@pytest.mark.parametrize("chunk", [1, 2, 7, 2**20])
@pytest.mark.parametrize(("content", "lines"), CASES)
def test_lines(
    monkeypatch: pytest.MonkeyPatch, content: bytes, lines: list[str], chunk: int
) -> None:
    monkeypatch.setattr(text_files, "CHUNK", chunk)
    assert list(lines_of(write("text", content), Data())) == lines
    assert list(lines_of(write("text.gz", gzip.compress(content)), Data())) == lines
    whole = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert list(lines_of("text", Data(), whole=True)) == [whole.decode()]
    as_bytes = content.split(b"\n")[: content.count(b"\n") + (content[-1:] not in (b"", b"\n"))]
    assert list(lines_of("text", Data(level="byte"))) == as_bytes
    assert list(lines_of("text", Data(level="byte"), whole=True)) == [content]


def test_line_ends_that_are_kept_and_other_encodings() -> None:
    assert list(lines_of(write("text", b"a\r\nb\r"), Data(newlines="keep"))) == ["a\r", "b\r"]
    assert list(lines_of(write("text", b"caf\xe9\n"), Data(encoding="latin-1"))) == ["caf\u00e9"]
    paragraphs = Data(documents="paragraph")
    assert list(lines_of(write("text", b"a\nb\n\n\nc\n"), paragraphs)) == ["a\nb", "c"]
    write("text", b"caf\xe9\n")
    with pytest.raises(CorpusError, match=r"text: byte 0xe9 at offset 3 \(line 1\) is not utf-8"):
        list(lines_of("text", Data()))
