"""A run from a file of weights, and files that make none."""

import json
import pickle
import re
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import GrucliError, UsageError
from grucli.exchange.description import as_texts, describe
from grucli.exchange.safetensors import dump
from grucli.exchange.torch_files import state_dict
from grucli.run.report import report
from tests.conftest import snapshot
from tests.exchange.models import CELLS, VOCABULARIES, checkpoint_of, make_run, text_of

FILE = Path("m.safetensors")


def exported(cell: str = "gru", layers: int = 1, kind: str = "text") -> bytes:
    checkpoint = checkpoint_of(cell, layers, kind)
    return dump(dict(checkpoint.model.params.items()), as_texts(describe(checkpoint)))


def of_stranger(cell: str = "lstm", kind: str = "text") -> bytes:
    return dump(state_dict(checkpoint_of(cell, kind=kind).model), {})


def refusal(path: Path = FILE, **options: Any) -> str:
    before = snapshot(Path())
    with pytest.raises(UsageError) as caught:
        grucli.import_model(path, **options)
    assert snapshot(Path()) == before
    assert not Path("runs").exists()
    return str(caught.value)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", VOCABULARIES)
def test_a_round_trip_gives_the_same_bytes(cell: str, kind: str) -> None:
    run = make_run(cell, 2, kind)
    first = grucli.export(run.path, "safetensors")
    again = grucli.import_model(first.path, name="again")
    assert again.path.name.endswith("-again")
    assert again.status == "imported"
    second = grucli.export(again.path, "safetensors")
    assert first.path.read_bytes() == second.path.read_bytes()
    np.testing.assert_array_equal(text_of(run)[2], text_of(again)[2])


def test_a_trained_run_keeps_its_counts_its_settings_and_its_loss(trained: Path) -> None:
    first = grucli.export(trained, "safetensors", "m.safetensors")
    run, before = grucli.import_model(first.path), grucli.runs(trained.parent)[0]
    assert run.settings == before.settings
    assert run.info.best.loss == before.checkpoint.progress.best_loss
    assert run.checkpoint.counts.tolist() == before.checkpoint.counts.tolist()
    assert run.lm.sample(50, seed=1) == before.lm.sample(50, seed=1)
    assert run.info.model == before.info.model
    with pytest.raises(UsageError, match="weights that were imported"):
        grucli.train(resume=run.path)


def test_an_export_with_a_former_setting_is_read() -> None:
    settings = describe(checkpoint_of())["meta"]["settings"]
    former = {"optim": {"muon": False}, "model": settings["model"] | {"locked": False}}
    FILE.write_bytes(with_changes(settings=settings | former))
    assert grucli.import_model(FILE).status == "imported"


def test_models_of_equal_names_get_runs_of_their_own() -> None:
    FILE.write_bytes(exported())
    names = [grucli.import_model(FILE).path.name for _ in range(3)]
    assert len({*names}) == 3
    assert all("-m" in name for name in names)


def test_a_header_may_have_texts_of_other_programs() -> None:
    checkpoint = checkpoint_of()
    header = as_texts(describe(checkpoint)) | {"format": "pt"}
    FILE.write_bytes(dump(dict(checkpoint.model.params.items()), header))
    assert grucli.import_model(FILE).status == "imported"


def test_a_checkpoint_needs_no_import() -> None:
    path = make_run().checkpoints.find("best")
    assert refusal(path) == f"{path}: is a checkpoint; sample, eval and export take it as it is"


def test_no_batch_is_invented_for_a_run_that_was_trained_elsewhere(trained: Path) -> None:
    run = grucli.import_model(grucli.export(trained, "safetensors", FILE).path)
    html = grucli.page(run.path).html
    assert "30 steps" in html
    assert "30 steps of" not in html
    compared = report(trained, run.path).html
    batches = re.findall(r'data-name="batch x window">([^<]*)<', compared)
    assert sorted(batches)[0] == ""
    assert re.fullmatch(r"\d+ x \d+", sorted(batches)[1])


def test_the_symbols_may_be_in_any_order() -> None:
    symbols = VOCABULARIES["text"]
    order = np.random.default_rng(0).permutation(len(symbols))
    arrays = state_dict(checkpoint_of("gru-after").model)
    arrays["recurrent.weight_ih_l0"] = arrays["recurrent.weight_ih_l0"][:, order]
    for name in ("output.weight", "output.bias"):
        arrays[name] = arrays[name][order]
    FILE.write_bytes(dump(arrays, {}))
    Path("v.json").write_text(json.dumps([symbols[index] for index in order]))
    run = grucli.import_model(FILE, vocabulary="v.json", name="n", runs_dir="mine")
    assert run.path.parent == Path("mine")
    np.testing.assert_array_equal(
        run.lm.model.params.flat, checkpoint_of("gru-after").model.params.flat
    )
    assert run.lm.counts.tolist() == [1] * len(symbols)
    card = grucli.export(run.path, "hub", "h", license="mit").path / "README.md"
    pages = [grucli.page(run.path).html, report(run.path).html, card.read_text("utf-8")]
    assert all(f"{len(symbols)} characters" not in page for page in pages)
    assert "its training text, which is not recorded" in pages[0]
    assert "0 steps" not in pages[0]


def with_changes(**changes: Any) -> bytes:
    """An export whose description is not true."""
    checkpoint = checkpoint_of()
    described = describe(checkpoint)
    for key, value in changes.items():
        if key in described:
            described[key] = value
        else:
            described["meta"][key] = value
    return dump(dict(checkpoint.model.params.items()), as_texts(described))


def with_array(name: str, value: Any) -> bytes:
    checkpoint = checkpoint_of()
    arrays = dict(checkpoint.model.params.items())
    arrays[name] = np.full_like(arrays[name], value) if np.ndim(value) == 0 else value
    return dump(arrays, as_texts(describe(checkpoint)))


def pickled() -> bytes:
    class Bomb:
        def __reduce__(self) -> Any:
            return open, ("owned", "w")

    return pickle.dumps(Bomb())


def bomb_in_zip() -> bytes:
    with zipfile.ZipFile("b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled())
        archive.writestr("archive/data/0", bytes(10**7))
    content = Path("b.zip").read_bytes()
    Path("b.zip").unlink()
    return content


HOSTILE: list[tuple[Callable[[], bytes], str]] = [
    (lambda: b"", "cut short"),
    (lambda: exported()[:-1], "which the file does not have"),
    (lambda: exported()[:100], "cut short"),
    (lambda: exported() + b"\0", "bytes that belong to none"),
    (lambda: exported().replace(b"[3,57,9]", b"[3,57,8]"), "declares"),
    (lambda: exported().replace(b"[3,57,9]", b"[9,57,3]"), r"layer1.W_x is float32[9, 57, 3]"),
    (lambda: exported().replace(b"layer1.W_x", b"layer1.W_y"), "no recurrent layer"),
    (lambda: exported().replace(b"layer1.W_h", b"layer1.W_y"), "layer1.W_h is missing"),
    (lambda: with_array("layer1.b", np.nan), "layer1.b holds values that are not finite"),
    (lambda: with_array("layer1.b", 2e30), "layer1.b holds weights above"),
    (lambda: with_array("layer1.b", np.zeros((3, 10))), "layer1.b"),
    (lambda: with_changes(vocabulary=["a", "a"]), "it has 'a' 2 times"),
    (lambda: with_changes(vocabulary=["b", "a"]), "not in ascending order"),
    (lambda: with_changes(vocabulary=["a", "b"]), "layer1.W_x is float32[3, 57, 9], not"),
    (lambda: with_changes(vocabulary=3), "must be a list"),
    (lambda: with_changes(counts=[1]), "counts"),
    (lambda: with_changes(counts=[0.5] * 57), "counts"),
    (lambda: with_changes(counts=[-1] * 57), "counts are not those of a text"),
    (lambda: with_changes(counts="many"), "cannot be imported"),
    (lambda: with_changes(meta=[]), "no settings"),
    (lambda: with_changes(settings={"model": []}), "no settings"),
    (lambda: with_changes(settings={"model": {"hidden": 10**12}}), "hidden in meta"),
    (lambda: with_changes(settings={"model": {"hidden": 65536, "layers": 64}}), "missing"),
    (lambda: with_changes(window=10**30), "window does not fit"),
    (lambda: with_changes(format=3), "written in format 3"),
    (pickled, "not a file of safetensors or of torch.save"),
    (bomb_in_zip, "claim more bytes than the file has"),
    (lambda: b"PK\x03\x04" + bytes(100), "cannot be imported"),
]


@pytest.mark.parametrize(("content", "said"), HOSTILE)
def test_a_hostile_file_is_one_message(content: Callable[[], bytes], said: str) -> None:
    FILE.write_bytes(content())
    message = refusal()
    assert message.startswith("m.safetensors: ")
    assert said in message
    assert message.count("\n") == 0
    assert not Path("owned").exists()


def test_a_file_that_is_not_there_and_a_directory_are_named() -> None:
    assert refusal(Path("none.pt")) == "none.pt: cannot be read: No such file or directory"
    Path("d").mkdir()
    assert refusal(Path("d")).startswith("d: cannot be read: ")


def test_the_vocabulary_is_asked_for_where_it_is_missing_and_only_there() -> None:
    FILE.write_bytes(of_stranger())
    assert "give the symbols in the order of their ids with --vocabulary FILE" in refusal()
    Path("v.txt").write_text("abc")
    assert refusal(vocabulary="v.txt") == "v.txt: has 3 symbols, and the model predicts 57"
    FILE.write_bytes(exported())
    assert "leave out --vocabulary" in refusal(vocabulary="v.txt")
    arrays = checkpoint_of().model.params.items()
    FILE.write_bytes(dump(dict(arrays), {}))
    assert "does not say what its arrays are" in refusal()


def test_damaged_files_never_do_more_than_raise_one_error() -> None:
    """Bytes are changed, cut out and repeated at random; memory stays bounded."""
    rng, good = np.random.default_rng(0), [exported(), exported("lstm", 2, "odd")]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(300):
        FILE.write_bytes(damaged(good[number % 2], rng))
        try:
            run = grucli.import_model(FILE, runs_dir="fuzzed", name=str(number))
            assert np.isfinite(run.lm.model.params.flat).all()
        except GrucliError as error:
            assert "\n" not in str(error)  # noqa: PT017 - a file may also be sound
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(
            rng.integers(min(len(data), 2500)) if rng.random() < 0.8 else rng.integers(len(data))
        )
        length = int(rng.integers(1, 9))
        change = rng.integers(4)
        if change == 0:
            data[at : at + length] = rng.bytes(length)
        elif change == 1:
            del data[at : at + length]
        elif change == 2:
            data[at:at] = data[at : at + length]
        else:
            data[at : at + 1] = rng.choice([b"9", b"-", b"]", b"{", b'"', b"\\", b",", b"\xff"])
    return bytes(data)
