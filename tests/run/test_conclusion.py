from pathlib import Path
from typing import Any

import pytest

from grucli.data.vocabulary import Vocabulary
from grucli.run.conclusion import Conclusion, conclude_run, sentences
from grucli.run.overlap import Copied, KnownDocuments, KnownWords, known_documents
from grucli.training.preparation import prepare
from grucli.training.request import Request
from tests.texts import prose
from tests.training import small_runs

SMALL = small_runs.SMALL | {"train.steps": 10, "train.eval_every": 5}


@pytest.fixture(autouse=True)
def _text() -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")


def conclusion(**changes: Any) -> Conclusion:
    values = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    session = prepare(Request("text.txt", values=values))
    for _ in session.events():
        pass
    assert session.conclusion is not None
    return session.conclusion


def test_what_a_run_has_come_to() -> None:
    found = conclusion()
    assert found.stopped_early is None
    assert found.best_step == 10
    assert found.best_loss is not None
    assert found.losses is not None
    assert found.losses.unigram < found.losses.uniform
    assert found.verdict
    assert found.copied is not None
    assert (found.copied.sample_chars, found.copied.whole) == (1000, True)
    assert len(found.copied.text) == found.copied.chars


def test_without_validation_text_or_samples_there_is_less_to_say() -> None:
    found = conclusion(data__val=0.0, sample__length=0)
    assert (found.best_step, found.best_loss, found.losses, found.verdict) == (None,) * 4
    assert found.copied is None


def test_a_run_that_was_stopped_for_want_of_patience() -> None:
    changes = {"optim__lr": 1e-12, "optim__schedule": "constant", "train__steps": 90}
    assert conclusion(train__patience=2, **changes).stopped_early == 2


def test_a_run_is_concluded_from_its_directory_as_at_its_end() -> None:
    session = prepare(Request("text.txt", values=SMALL))
    for _ in session.events():
        pass
    assert session.run is not None
    assert conclude_run(session.run.path) == session.conclusion


def test_documents_of_a_sample_that_are_in_the_text_are_counted() -> None:
    lines = ["anna", "bea", "carl"] * 300
    Path("text.txt").write_text("\n".join(lines) + "\n")
    found = conclusion(data__documents="line", train__steps=60, optim__lr=0.02)
    assert found.documents is not None
    assert found.documents.document == "line"
    assert 0 < found.documents.known <= found.documents.documents
    said = " ".join(sentences(found, "character"))
    share = found.documents.known / found.documents.documents
    assert f"lines of a sample, {share:.0%} are in the training text" in said
    assert "longest passage" not in said


def test_known_documents_are_whole_ones() -> None:
    vocabulary = Vocabulary([10, *range(97, 123)])
    texts = map(vocabulary.points, ("ab\nb\n\nab\nc\nabc", "abc\nc\nab"))
    sample, text = map(vocabulary.find, texts)
    known = known_documents(sample, text, vocabulary, 0, "line")
    assert known == KnownDocuments(known=3, documents=4, document="line")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"copied": Copied(1000, 0, "", 5000, True)},
            "A sample of 1000 bytes copies no passage of 8 or more bytes from the corpus.",
        ),
        (
            {"copied": Copied(1000, 12, "once upon a ", 5000, False)},
            "The longest passage that a sample of 1000 bytes copies from the last 5,000 bytes of "
            "the text has 12 bytes: 'once upon a '.",
        ),
        (
            {"words": KnownWords(18, 24, 0.9)},
            "Of the words of a sample, 75% occur in the training text (18 of 24); of the words of "
            "the validation text, 90%.",
        ),
    ],
)
def test_what_is_said_of_a_sample(found: dict[str, Any], said: str) -> None:
    assert sentences(Conclusion(None, **found), "byte") == [said]
