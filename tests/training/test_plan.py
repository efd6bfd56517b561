import pytest

from grucli.errors import (
    SettingsError,
    UnknownCharacterError,
)
from tests.training.trainers import (
    plan_for,
    trainer_for,
)


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
    plan = plan_for(text)
    trainer = trainer_for(plan)
    workspace, params = (
        trainer.train_step.shards.own.workspace,
        trainer.checkpoint.model.params.flat,
    )
    caches = sum(cache.states.nbytes + cache.a.nbytes for cache in workspace.caches)
    assert plan.memory > caches + 4 * params.nbytes
