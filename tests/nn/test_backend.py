"""Which backend is selected, and runs with it; skipped where oneDNN cannot be used."""

import json
from pathlib import Path

import pytest

from grucli.nn import onednn
from grucli.nn.backend import NUMPY, Backend, select, usable
from grucli.nn.onednn import Precision, Unavailable
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose

try:
    PRECISIONS = ["float32", *["bfloat16"] * usable().has_bfloat16]
except Unavailable as reason:
    pytest.skip(f"oneDNN: {reason}", allow_module_level=True)


def test_what_was_asked_for_is_selected_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select("numpy", "auto") == NUMPY
    assert select("auto", "float32") == select("onednn", "float32") == Backend("onednn")
    with pytest.raises(Unavailable, match="need oneDNN"):
        select("numpy", "bfloat16")
    found = onednn.load()
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=onednn.HAS_BFLOAT16 | 0x27))
    assert select("auto", "auto") == Backend("onednn", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x27))
    assert select("auto", "auto") == Backend("onednn", "float32")
    with pytest.raises(Unavailable, match="AVX512-BF16"):
        select("auto", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x7))
    assert select("auto", "auto") == NUMPY
    with pytest.raises(Unavailable, match="no AVX-512"):
        select("onednn", "auto")


@pytest.mark.parametrize(
    ("isa", "precision"),
    [
        (0xE7, "bfloat16"),  # AVX512-BF16, as on Zen 4
        (0xFEF, "bfloat16"),  # and AVX512-FP16 and AMX, as on Sapphire Rapids
        (0x1EF, "float32"),  # the same in a virtual machine without AMX
    ],
)
def test_bfloat16_is_selected_where_it_is_faster(
    isa: int, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = onednn.load()
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=isa))
    assert select("auto", "auto") == Backend("onednn", precision)
    assert select("auto", "bfloat16") == Backend("onednn", "bfloat16")


def losses(run: Path) -> list[str]:
    lines = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    return [",".join(line.split(",")[:8]) for line in lines]


@pytest.fixture
def text() -> None:
    Path("text.txt").write_text(prose(4000), encoding="utf-8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("text")
def test_equal_seeds_give_equal_bits_and_a_resumed_run_too(
    grucli: Grucli, precision: str, workers: int
) -> None:
    asked = (*TINY, "--set=train.products=onednn", f"--set=train.precision={precision}")
    asked = (*asked, f"--set=train.workers={workers}", "--set=train.patience=0", "-q")
    first, second = (
        Path(grucli("train", "text.txt", "--steps=20", "--name", name, *asked).out.strip())
        for name in "ab"
    )
    assert losses(first) == losses(second)
    last = "checkpoints/step-00000020.npz"
    assert (first / last).read_bytes() == (second / last).read_bytes()
    info = json.loads((first / "run.json").read_text(encoding="utf-8"))
    assert info["versions"]["products"].startswith("oneDNN 3.")
    assert info["versions"]["products"].endswith(precision)


@pytest.mark.usefixtures("text")
def test_other_products_on_resume_are_named(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = grucli("train", "text.txt", "--steps=6", "-q", *TINY).out.strip()
    monkeypatch.setattr(onednn, "candidates", list)
    monkeypatch.setattr(onednn, "load", onednn.load.__wrapped__)
    said = grucli("train", "--resume", run, "--steps=9").err
    assert "products was oneDNN 3." in said
    assert "and is numpy" in said


@pytest.mark.usefixtures("text")
def test_what_is_not_to_be_had_is_refused_with_the_command_that_installs_it(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRUCLI_ONEDNN", "nowhere.so")
    monkeypatch.setattr(onednn, "load", onednn.load.__wrapped__)
    before = snapshot(Path())
    result = grucli("train", "text.txt", "--set=train.products=onednn", *TINY)
    said = grucli("train", "text.txt", "--dry-run", *TINY).err
    assert (result.code, snapshot(Path())) == (2, before)
    assert "nowhere.so: cannot be loaded" in result.err
    assert 'pip install ".[fast]"' in result.err
    assert "note: products are computed by NumPy: nowhere.so" in said
    assert "products NumPy, float32" in said


@pytest.mark.usefixtures("text")
def test_a_run_goes_on_with_other_products_where_the_library_is_missing(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*TINY, "--set=train.products=onednn", f"--set=train.precision={PRECISIONS[-1]}")
    run = grucli("train", "text.txt", "--steps=6", "-q", *asked).out.strip()
    monkeypatch.setattr(onednn, "candidates", list)
    monkeypatch.setattr(onednn, "load", onednn.load.__wrapped__)
    refused = grucli("train", "--resume", run, "--steps=9")
    assert refused.code == 2
    advice = ("--set", "train.products=auto", "--set", "train.precision=auto")
    assert " ".join(advice) in refused.err
    goes_on = grucli("train", "--resume", run, "--steps=9", *advice)
    assert goes_on.code == 0, goes_on.err
    assert "products was oneDNN 3." in goes_on.err
