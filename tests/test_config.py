import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grucli import config
from grucli.config import (
    Sample,
    Settings,
    Values,
    changes,
    flatten,
    parse_override,
    read_file,
    resolve,
    shipped,
    to_yaml,
)
from grucli.defaults import Text, suited
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


@pytest.mark.parametrize(
    ("name", "budget"),
    [("small", {}), ("medium", {"train.minutes": 15.0}), ("large", {"train.minutes": 60.0})],
)
def test_shipped_settings_are_the_defaults_for_a_megabyte(name: str, budget: Values) -> None:
    """On two cores of the processor of docs/benchmarks.md."""

    def settings(values: Values) -> Settings:
        return resolve([("suited", values), ("given", budget)])

    text = Text(1_115_394, 65)
    default = settings(suited(settings, text, budget, lambda: 144_000.0))
    path = next(path for path in CONFIGS if path.stem == name)
    assert resolve([(name, read_file(path))]) == default


def test_later_layers_win_and_a_budget_replaces_another() -> None:
    settings = resolve(
        [("file", {"train.epochs": 3.0, "train.batch": 8}), ("--set", {"train.steps": 9})]
    )
    assert (settings.train.steps, settings.train.epochs, settings.train.batch) == (9, None, 8)


def test_a_budget_of_null_is_none() -> None:
    file: tuple[str, Values] = ("file", {"train.minutes": 60.0})
    for others in ({"train.minutes": None}, {"train.minutes": None, "train.seed": 3}):
        train = resolve([file, ("--set", others)]).train
        assert (train.minutes, train.epochs) == (None, Settings().train.epochs)
    assert resolve([file, ("--set", {"train.steps": None})]).train.minutes == 60


def test_two_budgets_at_once() -> None:
    assert "optim.eps" in problems("optim.eps=1e-50")
    message = problems("train.steps=3", "train.minutes=1")
    assert message == "--set: train.steps and train.minutes are both given; keep one"


def test_all_problems_come_in_one_message() -> None:
    message = problems(
        "train.batch=0",
        "model.hiden=3",
        "modle.hidden=3",
        "train.foo=1",
        "xyz.abc=1",
        "trian.bacth=1",
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
        "--set: unknown key train.foo; train has train.batch, train.window, train.steps",
        "--set: unknown key trian.bacth; did you mean train.batch?",
        "--set: unknown key xyz.abc; the sections are data, model, train, optim, sample",
        "--set: train.batch: must be greater than or equal to 1, not 0",
        "--set: data.level: must be 'char' or 'byte', not 'word'",
        "--set: data.encoding: Python knows no text encoding named 'foo'",
        "--set: train.seed: must be a valid integer, not True",
        "--set: train.workers: must be 'auto' or must be greater than or equal to 1, not 0",
        "--set: optim.lr: must be a finite number, not nan",
        "--set: optim.betas: must be two numbers in [0, 1), as in [0.9, 0.99], not 2",
    ]:
        assert line in message


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


def test_former_settings_are_ignored_where_they_had_no_effect() -> None:
    former = dict(config.FORMER)
    assert resolve([("file", former)]) == Settings()
    message = problems(*(f"{key}=0.5" for key in former))
    assert all(f"--set: unknown key {key}" in message for key in former)


def test_changes() -> None:
    assert changes(Settings(), overrides("model.hidden=8")) == {"model.hidden": 8}


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


def test_shipped_settings_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(shipped()) == {"tiny", "small", "medium", "large"}
    for name, file in shipped().items():
        assert read_file(Path(name)) == read_file(file)
    with pytest.raises(SettingsError, match="large, medium, small, tiny come with grucli"):
        read_file(Path("huge"))
    Path("tiny").write_text("model:\n  hidden: 3\n")
    assert read_file(Path("tiny")) == {"model.hidden": 3}  # a path comes before a name
