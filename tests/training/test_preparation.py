"""What a run begins or goes on with: its settings, its text, its weights, its notes."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from grucli.config import Values, flatten, resolve
from grucli.errors import CheckpointError, CorpusError, SettingsError
from grucli.run.run import Run
from grucli.training.events import Stepped
from tests.conftest import Grucli
from tests.faults.trials import remains
from tests.texts import prose
from tests.training.small_runs import again, from_weights, new, sample_of, train, values


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")


# ---- a run that was killed before its first evaluation


def test_a_run_killed_before_its_first_evaluation_goes_on_to_the_same_bytes() -> None:
    whole, _ = train(new())
    session = new()
    with closing(session), session.trainer() as trainer:
        steps = trainer.train()
        for event in steps:
            if isinstance(event, Stepped) and event.step == 7:
                break
        killed = trainer.run.path
        trainer.run._lock.release()
    (killed / "lock").unlink()
    train(again(killed))
    assert remains(killed) == remains(whole)
    assert (killed / "config.yaml").read_text() == (whole / "config.yaml").read_text()


def unborn(origin: Path | None = None, **others: Any) -> Path:
    """A run that was killed before its first step."""
    base: Values = {"train.steps": 20, "train.workers": 1}
    session = new() if origin is None else from_weights(origin, base, **others)
    with closing(session), session.trainer() as trainer:
        return trainer.run.path


def test_a_run_killed_before_its_first_step_keeps_its_settings_its_text_and_its_weights() -> None:
    run = unborn()
    with pytest.raises(SettingsError, match="the run was started with 8; it cannot become 9"):
        again(run, model__hidden=9)
    weights, _ = train(new(), 15)
    whole, _ = train(from_weights(weights, {"train.steps": 20, "train.workers": 1}))
    child = unborn(weights)
    train(again(weights))
    train(again(child))
    assert remains(child) == remains(whole)
    Path("text.txt").write_text(prose(4000, seed=7), encoding="utf-8")
    for changed in (run, weights):
        with pytest.raises(CorpusError, match="the corpus has changed"):
            again(changed, train__steps=60)


def test_a_run_whose_checkpoints_are_gone_cannot_be_resumed() -> None:
    run = unborn()
    with pytest.raises(CheckpointError, match="no checkpoint of trained weights yet"):
        Run.open(run).load()
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError, match="holds no checkpoint to continue from; start a new"):
        again(run)


# ---- config.yaml


def test_what_may_change_is_taken_from_an_edited_config_file() -> None:
    run, _ = train(new(), 15)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("steps: 40", "steps: 44"))
    session = again(run)
    assert any("asks for train.steps 44" in note for note in session.notes)
    train(session)
    assert sample_of(run, "last")["step"] == 44


def test_what_may_not_change_is_refused_in_an_edited_config_file() -> None:
    run, _ = train(new(), 15)
    config = run / "config.yaml"
    sound = config.read_text()
    for old, new_, told in [
        ("hidden: 8", "hidden: 9", r"config\.yaml: model\.hidden: the run was started with 8"),
        ("hidden: 8", "hiden: 8", r"config\.yaml: unknown key model\.hiden"),
        ("hidden: 8", "hidden: [", "delete it to use the settings of the checkpoint"),
    ]:
        edited = sound.replace(old, new_)
        config.write_text(edited)
        with pytest.raises(SettingsError, match=told):
            again(run)
        assert config.read_text() == edited
    config.unlink()
    train(again(run))
    assert flatten(resolve([Run(run).config()]))["model.hidden"] == 8


def test_a_longer_budget_that_raises_the_learning_rate_says_so() -> None:
    changes = {"optim__warmup": 5, "optim__lr": 0.01}
    run, _ = train(new(**changes))
    low = Run(run).rows()[-1].lr
    session = again(run, train__steps=80)
    (note,) = [note for note in session.notes if "learning rate rises" in note]
    assert f"rises from {low:.2g} to 0.0056" in note
    session.close()
    low_rate = f"--set optim.schedule=constant --set optim.lr={low:.2g}"
    assert low_rate in note
    constant = {"optim__schedule": "constant", "optim__lr": float(f"{low:.2g}")}
    session = again(run, train__steps=80, **constant)
    assert not any("learning rate rises" in note for note in session.notes)
    train(session)
    assert Run(run).rows()[-1].lr == float(f"{low:.2g}")
    other, _ = train(new(**changes), 20)
    session = again(other)  # as planned
    assert not any("learning rate rises" in note for note in session.notes)
    session.close()


def test_the_number_of_workers_may_change() -> None:
    run, _ = train(new(train__batch=32), 15)
    session = again(run, train__workers=2)
    assert any("the number of workers was 1 and is 2" in note for note in session.notes)
    train(session)
    assert Run(run).info.workers == 2
    assert Run(run).rows()[-1].step == 40


# ---- weights of another run


def test_the_rate_for_trained_weights_goes_with_the_batch_and_the_budget() -> None:
    origin, _ = train(new(), 15)

    def chosen(**changes: Any) -> Values:
        return from_weights(origin, values(**changes)).suited

    def rate(**changes: Any) -> Any:
        return chosen(**changes)["optim.lr"]

    assert rate() == 0.048  # the text is too short for more than 8 streams
    assert rate(train__batch=2) == 0.024
    assert rate(train__minutes=240) == 0.048  # a short text is soon read often enough
    assert rate(train__minutes=240, train__most_epochs=None) == 0.024
    assert "optim.lr" not in chosen(optim__lr=0.5)
    # a short text is read often, until that does not help any more
    assert chosen() == {"optim.lr": 0.048, "train.patience": 10, "train.epochs": 100.0}
    assert "train.epochs" not in chosen(train__minutes=1.0)
    assert chosen(train__epochs=None)["train.epochs"] == 100


# ---- bits


def test_what_decides_the_bits_is_recorded_and_a_change_is_named(grucli: Grucli) -> None:
    run, _ = train(new(), 15)
    told = json.loads((run / "run.json").read_text())
    assert {"blas kernel", "blas threads", "products", "numpy"} <= set(told["versions"])
    for key in ("blas kernel", "blas threads"):
        changed = {**told, "versions": {**told["versions"], key: "another"}}
        (run / "run.json").write_text(json.dumps(changed))
        session = again(run)
        session.close()
        assert any(f"{key} was another and is" in note for note in session.notes)
    (run / "run.json").unlink()  # what is not known has not changed
    session = again(run, "text.txt")
    session.close()
    assert not any("last bits" in note for note in session.notes)
