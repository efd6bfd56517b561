"""YAML as settings use it, in files and in overrides."""

import time
import tracemalloc
from pathlib import Path

import pytest

from grucli.config import parse_override, read_file
from grucli.errors import SettingsError


def test_numbers_in_scientific_notation_need_no_dot() -> None:
    assert parse_override("optim.lr=3e-4") == {"optim.lr": 3e-4}
    assert isinstance(parse_override("train.steps=1e5")["train.steps"], int)


LAUGHS = "\n".join(
    ["  a0: &a0 [0]", *(f"  a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]" for n in range(1, 10))]
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("train:\n  batch: &a [*a]", "2:10: settings take no anchors and aliases"),
        ("train:\n" + LAUGHS, "2:7: settings take no anchors and aliases"),
        ("train:\n  batch: *a", "2:10: settings take no anchors and aliases"),
        ("train:\n  batch: 1\n  seed: 2\n  batch: 3", "4:3: the same key as in line 2; keep one"),
        ("train: {batch: 1}\ndata:\ntrain: {seed: 1}", "3:1: the same key as in line 1"),
        ("train:\n  <<: {batch: 1}", "2:3: the name of a setting must be a word"),
        ("train:\n  ? [a]\n  : 1", "2:5: the name of a setting must be a word"),
        ("train:\n  ? {a: b}\n  : 1", "2:5: the name of a setting must be a word"),
        ("train: {batch: " + "[" * 50_000, "1:22: nested too deeply"),
        ("train:\n  batch: " + "- " * 50_000, "2:10: not valid YAML"),
        ("train:\n  " + "? " * 50_000, "2:17: nested too deeply"),
        ("train: [" + "1," * 50_000 + "]", "1:2003: settings have fewer than 1,000 keys"),
        ("train:\n" + "  a: !!timestamp x\n", "2:6: settings take no tags"),
        ("train: !!python/object:os.system {}", "1:8: settings take no tags"),
        ("train:\n  batch: 2020-99-99", "2:10: not valid YAML: month must be in 1..12"),
        ("train:\n  batch: " + "9" * 5000, "2:10: not valid YAML: Exceeds the limit"),
        ("train:\n  lr: 1" + 400 * ":1" + ".0", "2:7: not valid YAML: int too large"),
        ('sample:\n  prompt: "\\UFFFFFFFF"', "2:14: not valid YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\n", "1:7: not valid YAML"),
        ("sample:\n  prompt: 'a\0b'", "2:13: not valid YAML: character U+0000"),
        ("#" * 200_000, "larger than 128 KiB"),
        (b"sample:\n  prompt: \xff", "2:11: cannot read the settings file: it is not UTF-8 text"),
        ("a: 1\n---\nb: 1", "2:1: not valid YAML"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_has_no_place_in_settings_is_refused_at_once(
    content: str | bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(SettingsError) as caught:
        read_file(path)
    assert time.perf_counter() - began < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}:")
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "value",
    ["&a [*a]", "*a", "{a: 1, a: 2}", "!!timestamp x", "[" * 5000, "'\0'", "9" * 5000, "&a [" * 99],
)
def test_an_override_has_no_place_for_them_either(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_override(f"train.batch={value}")
    message = str(caught.value)
    assert message.startswith("--set train.batch=")
    assert "is not a YAML value; quote it (line 1, column " in message
    assert len(message) < 500
