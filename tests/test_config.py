from pathlib import Path

import pytest

from grucli.config import (
    Settings,
    changed_keys,
    flatten,
    parse_override,
    read_file,
    resolve,
    to_yaml,
)
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


def test_small_is_the_default() -> None:
    small = next(path for path in CONFIGS if path.stem == "small")
    assert resolve([("small", read_file(small))]) == Settings()


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
        ("just text", "settings stand in sections (data, model"),
        ("train: 3", "settings stand in sections"),
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


def test_changed_keys() -> None:
    assert list(changed_keys(Settings(), overrides("model.hidden=8"))) == ["model.hidden"]
