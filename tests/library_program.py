"""A program that uses the whole library; mypy checks it strictly, and a test runs it."""

import sys

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import grucli
from grucli.errors import GrucliError
from grucli.evaluation import Score
from grucli.language_model import LanguageModel
from grucli.run.run import Run
from grucli.sweeps.summary import Summary
from grucli.text_score import TextScore


def use(lm: LanguageModel) -> None:
    text: str = lm.sample(
        50, prompt="the ", temperature=0.8, top_k=None, top_p=None, seed=1, stop=["\n\n"]
    )
    assert "".join(lm.stream(50, prompt="the ", seed=1, stop=["\n\n"])) == text
    for sample in lm.samples(3, 20, seed=1):
        log_probs: npt.NDArray[np.float64] = sample.log_probs
        assert len(sample.text) == len(log_probs)
    for number, data in lm.samples(2, 20, seed=1).pieces():
        assert_type(number, int)
        assert_type(data, bytes)
    s = lm.score("the river", unknown="skip")
    assert_type(s, TextScore)
    assert_type(s[3:9], TextScore)
    assert_type(s.nats + s.bits_per_symbol, float)
    assert_type(s.text, str)
    assert_type(s.bits, npt.NDArray[np.float64])
    totals: npt.NDArray[np.float64] = lm.score_lines(["the river", "the garden"])
    assert totals.shape == (2,)
    states: dict[str, npt.NDArray[np.floating]] = lm.states("the river", layer=1)
    assert states["h"].shape == states["z"].shape == (9, lm.model.H)
    assert lm.decode(lm.encode("the river")) == "the river"
    assert lm.parameters > len(lm.vocabulary)


def main(trained: str, text: str) -> None:
    lm = grucli.load(trained)
    assert_type(lm, LanguageModel)
    use(lm)
    assert_type(lm.evaluate(lm.read([text]).ids) + lm.evaluate("the river"), Score)
    run = grucli.train(text, steps=3, settings={"model.hidden": 8, "train.workers": 1})
    assert_type(run, Run)
    assert run.path.is_dir()
    assert run.settings.model.hidden == 8
    assert run.info.seed is not None
    assert set(run.metrics) > {"step", "loss"}
    for event in grucli.train_events(resume=run.path, steps=4):
        print(type(event).__name__)
    assert [one.path for one in grucli.runs("runs")] == [run.path]
    ranges = {"optim.lr": {"choice": [0.01, 0.02]}, "sweep.sampler": "grid", "train.steps": 3}
    summary = grucli.sweep(text, settings={**ranges, "model.hidden": 8, "train.workers": 1})
    assert_type(summary, Summary)
    assert summary.best is not None
    assert_type(summary.best.loss, float | None)
    try:
        grucli.load("nothing")
    except GrucliError as error:
        print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
