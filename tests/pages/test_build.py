"""``grucli.page``."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.charts import COLOURS, ROUTES
from grucli.errors import ArgumentError
from grucli.html import source as source_of
from grucli.pages.build import LARGE, payload, suited_type
from grucli.run.run import Run
from tests.conftest import TINY, Grucli
from tests.nn.test_adding_a_cell import source
from tests.pages.models import language_model
from tests.test_language_model import make
from tests.texts import prose


@pytest.fixture
def run(grucli: Grucli, text_file: Path) -> Path:
    done = grucli("train", text_file, "--steps", "10", *TINY, "-q")
    return Path(done.out.strip())


def test_only_the_pages_own_script_may_run_and_nothing_is_loaded(grucli: Grucli, run: Path) -> None:
    page = library.page(run).html
    assert re.search(r"default-src 'none'; base-uri 'none'; form-action 'none'; style-src '", page)
    assert "unsafe" not in page
    assert not re.search(
        r"""(src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/(2000/svg|1998/Math))""", page
    )


def test_a_route_has_the_colour_that_it_has_in_figures() -> None:
    style, script = (source_of("grucli.pages", one) for one in ("style.css", "gradient.js"))
    for number, colour in enumerate(COLOURS):
        assert f".route-{number} {{ fill: {colour}; background: {colour}; }}" in style
    (names,) = re.findall(r"const COLOURS = (\[.+\]);", script)
    assert json.loads(names) == list(ROUTES)


def test_it_says_what_a_step_really_read(grucli: Grucli, tmp_path: Path) -> None:
    text = tmp_path / "names.txt"
    text.write_text("anna\nbert\nclara\n" * 100, "utf-8")
    run = grucli("train", text, "--steps", "1", "-s", "model.hidden=8", "-q").out.strip()
    checkpoint = Run.open(Path(run)).checkpoint
    assert checkpoint.batch < checkpoint.settings.train.batch
    said = f'"Training","1 step of {checkpoint.batch} x {checkpoint.window} characters"'
    assert said in library.page(run).html


def test_a_model_of_bytes_whose_sample_is_no_text_has_a_page(
    grucli: Grucli, tmp_path: Path
) -> None:
    text = tmp_path / "bytes.txt"
    text.write_text("é 漢 ü \U0001f600 a\n" * 400, "utf-8")
    bytes_ = [*TINY, "--set=data.level=byte", "-q"]
    for seed in range(3):
        done = grucli("train", text, "--steps", "1", "--seed", seed, *bytes_)
        lm = library.load(done.out.strip())
        page = library.page(done.out.strip()).html
        (shown,) = re.findall(r'"passage":("(?:[^"\\]|\\.)*")', page)
        assert "\ufffd" not in json.loads(shown)
        assert len(lm.encode(json.loads(shown)))


def test_large_models_have_float16_weights_if_they_fit() -> None:
    small, large = language_model(H=8).model, language_model(H=600).model
    assert small.params.flat.size < LARGE < large.params.flat.size
    assert (suited_type(small), suited_type(large)) == ("float32", "float16")
    large.params.flat[5] = 1e5
    assert suited_type(large) == "float32"


def test_weights_that_float16_cannot_hold_are_refused(
    grucli: Grucli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grucli.pages import build

    lm = language_model()
    lm.model.params.flat[0] = np.float32(1e6)
    monkeypatch.setattr("grucli.run.checkpoint.Checkpoint.language_model", lambda *_, **__: lm)
    with pytest.raises(ArgumentError, match="weights must be float32"):
        build.page(run, weights="float16")
    assert "--weights must be float32" in grucli("page", run, "--weights", "float16").err


def test_a_run_without_validation_text_or_on_standard_input_has_a_page(
    grucli: Grucli, text_file: Path
) -> None:
    run = Path(grucli("train", text_file, "--steps", "10", *TINY, "-s", "data.val=0").out.strip())
    page = library.page(run).html
    assert '"Training text"' in page
    assert "Held-out" not in page
    info = run / "run.json"
    facts = json.loads(info.read_text())
    facts["corpus"]["paths"] = ["-"]
    info.write_text(json.dumps(facts))
    assert "writes like its training text" in library.page(run).html


@pytest.mark.parametrize(("symbols", "start"), [("\nab", "\n"), (" ab", " "), ("ab", None)])
def test_the_page_begins_as_samples_do(symbols: str, start: str | None) -> None:
    lm = make(symbols)
    ids = lm.samples(1, 5, seed=1).prompt.tolist()
    assert ids == ([] if start is None else [symbols.index(start)])
    assert payload(lm, lm.encode("ab"), "float32")["start"] == (ids[0] if ids else None)


def test_a_page_of_an_own_cell_needs_a_passage_and_shows_documents(
    grucli: Grucli, forgets_cells: None
) -> None:
    Path("mgu.py").write_text(source(), "utf-8")
    Path("text.txt").write_text("\n\n".join(prose(200, seed=seed) for seed in range(20)), "utf-8")
    own = ("--cell-file", "mgu.py")
    words = ("--steps", 5, *TINY, "-q", "--set=data.documents=paragraph", *own)
    run = grucli("train", "text.txt", *words).out.strip()
    Path("short.txt").write_text("a", "utf-8")
    refused = grucli("page", run, "-o", "p.html", "--passage", "short.txt", *own)
    assert (refused.code, Path("p.html").exists()) == (2, False)
    assert "--passage must have at least two characters" in refused.err
    (written,) = re.findall(r'"written":("(?:[^"\\]|\\.)*")', library.page(run).html)
    assert "\x1e" not in json.loads(written)


def test_a_page_of_several_texts(grucli: Grucli) -> None:
    for name in "ab":
        Path(f"{name}.txt").write_text(prose(3000, seed=ord(name)), "utf-8")
    run = grucli("train", "a.txt", "b.txt", "--steps", 2, *TINY, "-q").out.strip()
    page = library.page(run).html
    assert "<title>A model that writes like a and 1 more</title>" in page
    assert '["Recitation","longest passage of a sample that is in the training text: ' in page
