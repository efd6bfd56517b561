from pathlib import Path

import numpy as np
import pytest

import grucli
from grucli.analysis import activations, subject
from grucli.errors import CorpusError, UnknownCharacterError, UsageError
from grucli.run import checkpoint as checkpoints
from tests.texts import prose


def test_untrained_models_have_one_width_and_read_one_text(text_file: Path) -> None:
    one, other = subject.untrained(["gru", "rnn"], str(text_file), hidden=7)
    assert (one.name, other.name) == ("GRU, 7 units, untrained", "RNN, 7 units, untrained")
    assert (one.words, other.words) == ("GRU, untrained", "RNN, untrained")
    assert (one.lm.model.H, one.lm.model.L) == (7, 1)
    assert len(one.lm.vocabulary) == one.lm.model.V
    assert one.ids is other.ids
    text = one.lm.decode(one.ids)
    assert text == text_file.read_text(encoding="utf-8")


def test_without_a_text_they_read_the_reference() -> None:
    (one,) = subject.untrained(["lstm"], hidden=2)
    assert len(one.ids) > 300_000


def test_a_run_reads_its_validation_text_or_another(trained: Path, text_file: Path) -> None:
    own, other = subject.of_run(trained), subject.of_run(trained, str(text_file))
    assert own.name == trained.name
    assert own.words == other.words == "GRU, trained"
    assert len(own.ids) == 400
    np.testing.assert_array_equal(own.ids, other.ids[-400:])
    Path("short.txt").write_text("e", encoding="utf-8")
    with pytest.raises(CorpusError, match="at least two characters"):
        subject.of_run(trained, "short.txt")


def test_a_network_before_training_has_the_sizes_and_the_text_of_the_run(trained: Path) -> None:
    own = subject.of_run(trained)
    before = subject.before_training(own)
    assert (before.name, before.words) == (f"{trained.name}, untrained", "GRU, untrained")
    assert before.lm.model.params.shapes == own.lm.model.params.shapes
    assert (before.lm.model.params.flat != own.lm.model.params.flat).any()
    assert before.lm.vocabulary is own.lm.vocabulary
    assert before.ids is own.ids


def test_a_network_before_training_has_its_initial_weights_if_it_has_kept_them() -> None:
    settings = {"model.hidden": 8, "sample.length": 0}
    runs = [
        grucli.train(text=prose(3000), steps=2, seed=seed, settings=settings) for seed in (1, 2)
    ]
    runs.append(grucli.merge(*(run.path for run in runs)))
    before = [subject.before_training(subject.of_run(run.path)).lm.model for run in runs]
    for run, model in zip(runs[:2], before, strict=False):
        first = checkpoints.read(run.checkpoints.file_of(0)).model
        np.testing.assert_array_equal(model.params.flat, first.params.flat)
    assert (before[2].params.flat != runs[2].checkpoint.model.params.flat).any()


def test_letters_of_the_held_out_text_alone_are_read_in_it() -> None:
    Path("text.txt").write_text("ab " * 300 + "xab " * 20, encoding="utf-8")
    settings = {"model.hidden": 4, "train.workers": 1}
    run = grucli.train("text.txt", steps=1, settings=settings)
    own = subject.of_run(run.path)
    assert "x" in "".join(activations.read(own).score.characters)
    with pytest.raises(UnknownCharacterError):
        subject.of_run(run.path, "text.txt").lm.encode("x")


def test_names_of_cells() -> None:
    assert subject.cell_names("gru, rnn,gru") == ["gru", "rnn"]
    for words in ("", "gru,tcn", "gru-after"):
        with pytest.raises(UsageError, match="there is no cell"):
            subject.cell_names(words)
    with pytest.raises(UsageError, match="there is no cell 'tcn'"):
        subject.untrained(["tcn"])


def test_the_check_of_a_gradient_and_its_flow_have_the_same_initial_weights() -> None:
    settings = {"model.hidden": 8, "model.layers": 2, "sample.length": 0}
    run = grucli.train(text=prose(3000), steps=2, settings=settings)
    begun = grucli.train(text=prose(3000), steps=2, init_from=run.path)
    first = checkpoints.read(run.checkpoints.file_of(0)).model
    initial = subject.initial_model(run.checkpoint.model, run)
    np.testing.assert_array_equal(initial.params.flat, first.params.flat)
    assert np.ptp(initial.output(initial.params).b_c) > 1  # the frequencies, of two layers
    random = subject.initial_model(begun.checkpoint.model, begun)  # not those of another run
    assert np.ptp(random.output(random.params).b_c) < 1
