import json
from pathlib import Path
from typing import Any

import pytest

from grucli.errors import UsageError
from grucli.exchange.description import as_texts, checked_symbols, describe, read_vocabulary
from tests.exchange.models import VOCABULARIES, checkpoint_of


@pytest.mark.parametrize("kind", VOCABULARIES)
def test_a_description_has_the_symbols_in_order(kind: str) -> None:
    described = describe(checkpoint_of(kind=kind))
    assert described["vocabulary"] == VOCABULARIES[kind]
    texts = as_texts(described)
    assert json.loads(texts["vocabulary"]) == VOCABULARIES[kind]
    assert texts["model_type"] == "grucli"
    assert texts["vocabulary"].isascii()


@pytest.mark.parametrize(
    ("name", "content", "symbols"),
    [
        ("v.json", '["b", "\\n", "\\ud83d\\ude00"]', ["b", "\n", "\U0001f600"]),
        ("v.json", "[3, 255, 0]", [3, 255, 0]),
        ("v.txt", "ba\n\U0001f600", ["b", "a", "\n", "\U0001f600"]),
        ("v.txt", "\ufeff[]", ["[", "]"]),
    ],
)
def test_a_vocabulary_is_a_json_list_or_a_text(name: str, content: str, symbols: Any) -> None:
    Path(name).write_bytes(content.encode())
    assert read_vocabulary(Path(name)) == symbols


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (["a", "b", "a"], "it has 'a' 2 times"),
        ([], "must be a list"),
        ({"a": 0}, "must be a list"),
        (["a", "<pad>"], "'<pad>' is not one character"),
        (["a", 3], "'3' is not one character"),
        (["\ud800"], "is not one character"),
        ([0, 256], "'256' is not one byte"),
        ([0, True], "'True' is not one byte"),
        ([1, 1], "it has 1 2 times"),
    ],
)
def test_what_is_no_vocabulary_is_refused(symbols: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_symbols(symbols)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[", b'{"a"', b"[" * 10**5])
def test_a_file_that_is_no_vocabulary_is_named(content: bytes) -> None:
    Path("v.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"v\.json: is not a vocabulary"):
        read_vocabulary(Path("v.json"))
    with pytest.raises(UsageError, match=r"w\.json: cannot be read"):
        read_vocabulary(Path("w.json"))
