from pathlib import Path

import numpy as np
import pytest

from grucli import evaluation
from grucli.errors import SettingsError, UnknownCharacterError
from grucli.run import checkpoint as checkpoints
from grucli.training.plan import PROCESS_BYTES, resume
from tests.texts import prose
from tests.training.small_runs import from_weights, new, train
from tests.training.trainers import follow, plan_for, trainer_for


def test_a_prompt_that_the_corpus_cannot_spell_is_found_beforehand(text: str) -> None:
    with pytest.raises(UnknownCharacterError, match="CAPITAL LETTER X"):
        plan_for(text, sample__prompt="X")


def test_more_memory_than_the_machine_has_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.training.plan.physical_memory", lambda: 2**20)
    with pytest.raises(SettingsError, match=r"this machine has 0\.0: lower model.hidden"):
        plan_for(text, model__hidden=512)


def test_the_memory_announced_covers_what_is_allocated(text: str) -> None:
    plan = plan_for(text, model__hidden=128)
    trainer = trainer_for(plan)
    own, model = trainer.train_step.shards.own, trainer.checkpoint.model
    arrays = [own.masks]
    for room in (own.workspace, model.workspace(evaluation.WINDOW, evaluation.STREAMS)):
        arrays += [room.dropped, room.dh]
        for cache in room.caches:
            arrays += [cache.states, cache.a, cache.saved]
    # parameters, packed ones (two), m, v, a gradient, and the scaled copy
    allocated = 7 * model.params.flat.nbytes + sum(array.nbytes for array in arrays)
    assert allocated < plan.memory - PROCESS_BYTES * plan.workers < 2 * allocated


# ---- the state before the first step, and that from which a run goes on


def test_new_characters_are_predicted_with_their_frequencies() -> None:
    common = prose(4000)
    Path("text.txt").write_text(common.replace("a", "e").replace("o", "e"), encoding="utf-8")
    origin, _ = train(new(train__steps=150, optim__warmup=10, model__hidden=32))
    Path("text.txt").write_text(common, encoding="utf-8")
    session = from_weights(origin, {}, extend_vocabulary=True)
    model, plan = session.checkpoint.model, session.plan
    x = plan.windows.window(1)[0]
    for letter in "ao":
        (new_id,) = plan.corpus.vocabulary.find(np.array([ord(letter)]))
        log_p, _, _ = model.score(
            x,
            np.full_like(x, new_id),
            model.zero_state(x.shape[1]),
            model.workspace(*x.shape),
        )
        frequency = plan.counts[new_id] / plan.counts.sum()
        assert np.exp(log_p).mean() == pytest.approx(frequency, rel=0.25)


def test_resuming_refuses_a_used_up_budget(text: str) -> None:
    plan = plan_for(text)
    trainer = trainer_for(plan)
    follow(trainer)
    done = checkpoints.read(trainer.run.checkpoints.find("last"))
    with pytest.raises(SettingsError, match="has used its budget"):
        resume(plan, done)
