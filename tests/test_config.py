import compileall
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grucli import config
from grucli.config import (
    Sample,
    Settings,
    changed_keys,
    flatten,
    parse_override,
    read_file,
    resolve,
    to_yaml,
)
from grucli.defaults import suited
from grucli.errors import SettingsError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def overrides(*texts: str) -> Settings:
    values = {}
    for text in texts:
        values |= parse_override(text)
    return resolve([("--set", values)])


def problems(*texts: str) -> str:
    with pytest.raises(SettingsError) as caught:
        overrides(*texts)
    return str(caught.value)


def test_printed_settings_read_back_the_same(tmp_path: Path) -> None:
    settings = overrides("train.minutes=2.5", "sample.prompt='a: \"b\"\n'", "optim.lr=1e-4")
    path = tmp_path / "s.yaml"
    path.write_text(to_yaml(settings), encoding="utf-8")
    assert resolve([("file", read_file(path))]) == settings


def test_every_key_is_explained() -> None:
    lines = to_yaml(Settings()).splitlines()
    keys = [
        number for number, line in enumerate(lines) if line.startswith("  ") and "#" not in line
    ]
    assert len(keys) == len(flatten(Settings()))
    assert all(lines[number - 1].startswith("  # ") for number in keys)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_are_valid_and_complete(path: Path) -> None:
    settings = resolve([(str(path), read_file(path))])
    assert [line for line in to_yaml(settings).splitlines() if line] == [
        line for line in path.read_text(encoding="utf-8").splitlines() if line
    ]


def test_small_is_the_default_for_a_million_characters() -> None:
    small = next(path for path in CONFIGS if path.stem == "small")
    default = resolve([("suited", suited(1_000_000, []))])
    assert resolve([("small", read_file(small))]) == default


def test_later_layers_win_and_a_budget_replaces_another() -> None:
    settings = resolve(
        [("file", {"train.epochs": 3.0, "train.batch": 8}), ("--set", {"train.steps": 9})]
    )
    assert (settings.train.steps, settings.train.epochs, settings.train.batch) == (9, None, 8)


def test_two_budgets_at_once() -> None:
    message = problems("train.steps=3", "train.minutes=1")
    assert message == "--set: train.steps and train.minutes are both given; keep one"


def test_all_problems_come_in_one_message() -> None:
    message = problems(
        "train.batch=0",
        "model.hiden=3",
        "modle.hidden=3",
        "train.foo=1",
        "xyz.abc=1",
        "data.level=word",
        "data.encoding=foo",
        "train.seed=true",
        "train.workers=0",
        "optim.lr=.nan",
        "optim.betas=[0.9, 2]",
    )
    for line in [
        "--set: unknown key model.hiden; did you mean model.hidden?",
        "--set: unknown key modle.hidden; did you mean model.hidden?",
        "--set: unknown key train.foo; train has batch, window, steps",
        "--set: unknown key xyz.abc; the sections are data, model, train, optim, sample",
        "--set: train.batch: must be greater than or equal to 1, not 0",
        "--set: data.level: must be 'char' or 'byte', not 'word'",
        "--set: data.encoding: Python knows no text encoding named 'foo'",
        "--set: train.seed: must be a valid integer, not True",
        "--set: train.workers: must be 'auto' or must be greater than or equal to 1, not 0",
        "--set: optim.lr: must be a finite number, not nan",
        "--set: optim.betas: both must lie in [0, 1), not [0.9, 2.0]",
    ]:
        assert line.replace("train has batch, window, steps", "train has") in message


def test_shares_must_leave_something_to_train() -> None:
    assert "--set: data: val + test must be below 1" in problems("data.val=0.6", "data.test=0.5")


@pytest.mark.parametrize("text", ["train.batch", "batch=3", "a.b.c=3", "=3"])
def test_a_malformed_override(text: str) -> None:
    assert "write --set section.key=value" in problems(text)


def test_an_override_that_is_not_yaml() -> None:
    assert "'[1, 2' is not a YAML value" in problems("optim.betas=[1, 2")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("train: [", "s.yaml:1:9: not valid YAML"),
        ("just text", "settings must be in sections (data, model"),
        ("train: 3", "settings must be in sections"),
        ("train:\n  batch: x", "s.yaml: train.batch: must be a valid integer"),
    ],
)
def test_a_bad_settings_file(content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        resolve([(str(path), read_file(path))])
    assert expected in str(caught.value)


def test_empty_files_and_sections_are_defaults(tmp_path: Path) -> None:
    for content in ("", "train:\n", "# nothing\n"):
        path = tmp_path / "s.yaml"
        path.write_text(content, encoding="utf-8")
        assert resolve([("file", read_file(path))]) == Settings()


def test_numbers_in_scientific_notation_need_no_dot() -> None:
    assert overrides("optim.lr=3e-4").optim.lr == 3e-4


def test_former_settings_are_ignored_where_they_had_no_effect() -> None:
    former = dict(config.FORMER)
    assert resolve([("file", former)]) == Settings()
    message = problems(*(f"{key}=0.5" for key in former))
    assert all(f"--set: unknown key {key}" in message for key in former)


def test_changed_keys() -> None:
    assert list(changed_keys(Settings(), overrides("model.hidden=8"))) == ["model.hidden"]


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
    message = problems(f"train.batch={value}")
    assert message.startswith("--set train.batch=")
    assert "is not a YAML value; quote it (line 1, column " in message
    assert len(message) < 500


@pytest.mark.parametrize("value", ["0x" + "f" * 5000, "[0x" + "f" * 5000 + "]", "x" * 5000])
def test_a_value_is_not_repeated_at_length(value: str) -> None:
    for key in ("train.batch", "optim.betas", "data.level"):
        assert len(problems(f"{key}={value}")) < 300


def test_a_message_lists_so_many_problems() -> None:
    message = problems(*(f"train.key{number}=1" for number in range(60)))
    assert len(message.splitlines()) == 51
    assert message.endswith("and 10 more problems")


@given(st.text(max_size=30))
@example("a\x85b")
@example("0E0")
@example("a\u2028b\u2029c")
@example("a\rb\r\nc\n")
@example("\ufeffa\ufeff")
@example("a\0b\x1b\x7f\x9b")
@example("\U0001f600 é 中\n")
@example(" a ")
@example("...")
@example("# a: 'b' \"c\"")
@example("a " * 500)
def test_any_prompt_comes_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, prompt: str
) -> None:
    settings = Settings().model_copy(update={"sample": Sample(prompt=prompt)})
    path = tmp_path_factory.getbasetemp() / "prompt.yaml"
    path.write_text(to_yaml(settings), encoding="utf-8", newline="\n")
    assert resolve([("file", read_file(path))]) == settings


@pytest.mark.parametrize("character", ["\U0010ffff", "\x85", "a", "\\"])
def test_the_longest_prompt_comes_back_unchanged(character: str, tmp_path: Path) -> None:
    settings = Settings().model_copy(update={"sample": Sample(prompt=character * 10_000)})
    path = tmp_path / "s.yaml"
    path.write_text(to_yaml(settings), encoding="utf-8")
    assert resolve([("file", read_file(path))]) == settings


def test_samples_have_bounds() -> None:
    assert "must be less than or equal to 1000000" in problems(f"sample.length={10**18}")
    assert "must have at most 10000 characters, not 'aaa" in problems(
        f"sample.prompt={'a' * 10001}"
    )


@pytest.mark.parametrize("optimization", ["-O", "-OO"])
def test_explanations_do_not_need_docstrings(optimization: str) -> None:
    code = "from grucli.config import Settings, to_yaml; print(to_yaml(Settings()), end='')"
    command = [sys.executable, optimization, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == to_yaml(Settings())


def test_explanations_are_left_out_where_there_are_no_sources(tmp_path: Path) -> None:
    package = Path(config.__file__).parent
    shutil.copytree(package, tmp_path / "grucli", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(tmp_path / "grucli", quiet=1, legacy=True, optimize=2)
    for source in (tmp_path / "grucli").rglob("*.py"):
        source.unlink()
    code = "from grucli.config import Settings, to_yaml; print(to_yaml(Settings()), end='')"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-OO", "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "None" not in printed.stdout
    (tmp_path / "s.yaml").write_text(printed.stdout, encoding="utf-8")
    assert resolve([("file", read_file(tmp_path / "s.yaml"))]) == Settings()
