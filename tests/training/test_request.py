"""What a person asks for, from the command line and from the library."""

from pathlib import Path
from typing import get_type_hints

import pytest

from grucli.errors import SettingsError
from grucli.training.request import COMMAND_LINE, SETTINGS, Request, TrainOptions

OPTIONS = TrainOptions(
    text=None,
    lines=None,
    texts=None,
    val=["v.txt", Path("w.txt")],
    test=0.2,
    minutes=None,
    epochs=None,
    steps=7,
    seed=3,
    settings={"model.hidden": 8},
    config="s.yaml",
    name="n",
    runs_dir="r",
    resume=None,
    init_from="w",
    unknown="skip",
    extend_vocabulary=True,
    mpi=True,
)


def test_every_option_of_train_is_in_the_request() -> None:
    assert {*OPTIONS} == {*get_type_hints(TrainOptions)}
    assert Request.of(["a.txt"], OPTIONS) == Request(
        ["a.txt"],
        Path("s.yaml"),
        {
            "model.hidden": 8,
            "train.steps": 7,
            "train.seed": 3,
            "data.val": ["v.txt", "w.txt"],
            "data.test": 0.2,
        },
        name="n",
        runs_dir=Path("r"),
        init_from=Path("w"),
        unknown="skip",
        extend_vocabulary=True,
        mpi=True,
    )
    assert Request.of(["a.txt"], {}) == Request(["a.txt"])


@pytest.mark.parametrize(
    ("origin", "words"),
    [(SETTINGS, "settings and by an argument"), (COMMAND_LINE, "--set and by a flag")],
)
def test_a_setting_that_is_given_twice(origin: str, words: str) -> None:
    options = TrainOptions(steps=7, settings={"train.steps": 8})
    with pytest.raises(SettingsError, match=f"train.steps is given by {words}; keep one"):
        Request.of(["a.txt"], options, origin)
