"""Arguments of the public functions: what is accepted, and what is refused in words."""

import os
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import grucli as library
from grucli.analysis import subject
from grucli.analysis.comparison import plan_comparison
from grucli.analysis.gradient_checks import check_run, check_settings
from grucli.arguments import PathLike, Several, checked
from grucli.errors import ArgumentError, UsageError
from grucli.language_model import LanguageModel, SampleOptions
from grucli.run.conclusion import conclude_run
from grucli.run.report import report
from grucli.run.run import Run
from grucli.training.request import Request, TrainOptions
from tests.conftest import Grucli
from tests.test_language_model import make

LONG = "some text " * 400
TINY = {"train.steps": 1, "model.hidden": 4, "train.batch": 2, "train.window": 8}


@checked
def example(
    *paths: PathLike, words: Several[str] = (), count: int = 1, rate: float = 0.5, on: bool = True
) -> Any:
    return list(paths), words, count, rate, on


def test_one_string_is_one_and_numpys_numbers_are_numbers() -> None:
    assert example(Path("a"), words="the", count=np.int64(3), rate=np.float32(2)) == (
        [Path("a")], ["the"], 3, 2.0, True,
    )  # fmt: skip
    assert example(words=("a", "b"))[1] == ("a", "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": 3}, "words must be an instance of Sequence, not 3"),
        ({"words": ["a", 3]}, "words must be a string, not 3"),
        ({"count": "x"}, "count must be a whole number, not 'x'"),
        ({"count": 2.5}, "count must be a whole number, not 2.5"),
        ({"rate": None}, "rate must be a number, not None"),
        ({"on": "maybe"}, "on must be True or False, not 'maybe'"),
    ],
)
def test_a_wrong_type_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        example(**given)
    assert str(caught.value) == message


def test_a_list_instead_of_paths_is_named() -> None:
    with pytest.raises(ArgumentError) as caught:
        example("a", ["b", "c"])  # type: ignore[arg-type]
    assert str(caught.value) == "paths must be a string or a path, not ['b', 'c']"


def test_a_missing_or_unknown_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'file'"):
        library.train(file="the river")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument: 'path'"):
        library.load()  # type: ignore[call-arg]


def test_the_signature_names_each_option_of_train() -> None:
    options = signature(library.train).parameters
    assert [*options] == ["sources", "on_event", "stop", *get_type_hints(TrainOptions)]
    assert (options["steps"].default, options["unknown"].default) == (None, "error")
    assert options["mpi"].default is False
    events = signature(library.train_events).parameters
    assert {name: options[name] for name in events} == dict(events)


def test_the_signature_names_each_option_of_a_sample() -> None:
    names = [*get_type_hints(SampleOptions)]
    for function, first in (
        (LanguageModel.sample, ["self", "length", "echo"]),
        (LanguageModel.stream, ["self", "length", "echo"]),
        (LanguageModel.samples, ["self", "count", "length"]),
    ):
        options = signature(function).parameters
        assert [*options] == [*first, *names]
        defaults = {"prompt": "", "temperature": 0.8, "stop": (), "unknown": "error"}
        given = defaults | {"distinct": False, "top_k": None, "not_in": None, "exact": False}
        assert given.items() <= {name: options[name].default for name in names}.items()
        assert options["prompt"].annotation == str | bytes
    with pytest.raises(TypeError, match="unexpected keyword argument 'top'"):
        make().sample(5, top=3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="temperature must be a number, not 'hot'"):
        make().stream(5, temperature="hot")  # type: ignore[arg-type]


def test_one_stop_text_one_line_one_file(grucli: Grucli) -> None:
    lm = make()
    whole = lm.sample(200, seed=1, temperature=1)
    assert lm.sample(200, seed=1, temperature=1, stop="ab") == whole.partition("ab")[0]
    assert "".join(lm.stream(200, seed=1, temperature=1, stop="ab")) == whole.partition("ab")[0]
    assert "ab" in whole
    assert lm.score_lines("a bed").tolist() == lm.score_lines(["a bed"]).tolist()
    assert lm.score_lines(b"a bed").shape == (1,)
    Path("a.txt").write_text("a bed", encoding="utf-8")
    for one in ("a.txt", Path("a.txt")):
        assert lm.read(one).sources == ("a.txt",)
    assert Request("a.txt").sources == Request([Path("a.txt")]).sources == ["a.txt"]
    assert len(subject.untrained("gru", text="a.txt", hidden=4)) == 1


READ: dict[str, Callable[[Any], Any]] = {
    "load": library.load,
    "runs": library.runs,
    "Run": Run,
    "page": library.page,
    "report": report,
    "train": lambda path: library.train(path, settings=TINY),
    "train config": lambda path: library.train("text.txt", settings=TINY, config=path),
    "train resume": lambda path: library.train(resume=path),
    "train runs_dir": lambda path: library.train("text.txt", settings=TINY, runs_dir=path),
    "sweep": lambda path: library.sweep(path, settings={**TINY, "sweep.trials": 1}),
    "read": lambda path: make().read(path),
    "Run.open": lambda path: Run.open(path).checkpoint,
    "check_run": check_run,
    "conclude_run": conclude_run,
    "of_run": subject.of_run,
    "text": lambda path: subject.untrained(["gru"], text=path),
    "comparison": lambda path: plan_comparison(Request(path, values=TINY), "gru"),
}


@pytest.mark.parametrize("call", READ.values(), ids=list(READ))
@pytest.mark.parametrize(
    "path", [LONG, "two\nlines", "a\0b", "\ud800"], ids=["long", "lines", "nul", "surrogate"]
)
def test_a_text_in_the_place_of_a_path_is_refused_in_words(
    grucli: Grucli, call: Callable[[Any], Any], path: str
) -> None:
    Path("text.txt").write_text("a bed", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        call(path)
    assert len(str(caught.value)) < 400
    assert os.listdir() == ["text.txt"]


def test_the_message_says_how_a_text_is_given(grucli: Grucli) -> None:
    with pytest.raises(UsageError, match="write the text to a file, and give the path of that"):
        library.train(LONG)
    refused = grucli("train", LONG)
    assert refused.code == 2
    assert "write the text to a file" in refused.err
    assert grucli("sample", LONG).code == grucli("runs", LONG).code == 2


@pytest.mark.parametrize("call", READ.values(), ids=list(READ))
@pytest.mark.parametrize("value", [3, 2.5, object(), [3]], ids=["3", "2.5", "object", "list"])
def test_what_is_no_path_is_refused_in_words(
    grucli: Grucli, call: Callable[[Any], Any], value: object
) -> None:
    Path("text.txt").write_text("a bed", encoding="utf-8")
    with pytest.raises(UsageError, match="must be"):
        call(value)


@pytest.mark.parametrize(
    "value", [3, 2.5, None, ["a"], object()], ids=lambda one: type(one).__name__
)
def test_what_is_no_text_is_refused_in_words(value: object) -> None:
    lm: Any = make()
    for call in (lm.score, lm.encode, lm.count_unknown, lm.states, lm.decode):
        if call != lm.decode or value != 3:
            with pytest.raises(UsageError):
                call(value)
    with pytest.raises(UsageError):
        lm.score_lines([value])
    with pytest.raises(UsageError):
        lm.sample(prompt=value)


@pytest.mark.parametrize("name", ["length", "temperature", "top_k", "top_p", "seed", "stop"])
def test_what_a_sample_does_not_take(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} must be "):
        make().sample(**{name: object()})  # type: ignore[arg-type]


def test_settings_that_are_not_a_mapping() -> None:
    for call in (library.train, library.sweep, lambda settings: check_settings(settings)):
        with pytest.raises(ArgumentError, match="must be a"):
            call(settings=["model.hidden"])
