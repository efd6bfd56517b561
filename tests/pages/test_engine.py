"""The page's script under Node, against NumPy in float64; skipped where there is no Node."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli.pages
from grucli.analysis.activations import FEATURES, follow
from grucli.config import Data
from grucli.data.vocabulary import Vocabulary, as_read
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS
from grucli.nn.model import read_layer
from grucli.pages.build import Type, payload, recorded, rounded
from grucli.sampling import Sampler
from tests.pages.models import KINDS, language_model, some_ids

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")
ENGINE = Path(grucli.pages.__file__).parent / "engine.js"

NEAR = 1e-9
"""Largest difference of a log probability or a share."""

CHECK = """
const engine = require(process.argv[1]);
const {spec, text} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const model = new engine.Model(spec);
let {logProbs, state} = model.begin();
let before, steps = [], found = [];
for (const id of spec.proof.ids) {
  found.push(logProbs[id]);
  before = state;
  state = model.step(id, state);
  logProbs = model.next(state);
  steps.unshift({...state[model.L - 1], reset: id === spec.separator});
}
const ids = spec.proof.ids;
const gradient = model.lossGradient(before, ids[ids.length - 1]);
const followed = [...model.follow(steps.slice(1, 1 + spec.proof.norms.length), gradient)];
console.log(JSON.stringify({found, followed, text: text === null ? null : model.logProbs(text)}));
"""


def run_engine(script: str, data: Any, engine: Path = ENGINE) -> Any:
    """What a script with the engine prints, read as JSON."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, "-e", script, str(engine)], input=json.dumps(data), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def differences(lm: LanguageModel, type_: Type = "float32", engine: Path = ENGINE) -> list[float]:
    """Largest differences between script and NumPy: log probabilities, norms, shares, the sums."""
    spec = payload(lm, some_ids(lm), type_)
    result, proof = run_engine(CHECK, {"spec": spec, "text": None}, engine), spec["proof"]
    followed = result["followed"]
    assert len(followed) == len(proof["norms"]) == len(proof["shares"]) > 0
    named = [
        [(step["shares"][name] or 0.0) - share for name, share in shares.items()]
        for step, shares in zip(followed, proof["shares"], strict=True)
    ]
    pairs = (
        np.asarray(result["found"], float) - proof["log_probs"],
        np.array([step["norm"] for step in followed], float) - proof["norms"],
        np.ravel(named),
        np.array([step["difference"] for step in followed], float),
    )
    return [float(np.abs(part).max()) for part in pairs]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("L", [1, 2])
@pytest.mark.parametrize("kind", ["text", "list", "byte"])
def test_every_cell_computes_what_numpy_computes(cell: str, L: int, kind: str) -> None:
    assert max(differences(language_model(kind, cell, L))) < NEAR


@pytest.mark.parametrize("kind", ["Chinese", "emoji", "hostile"])
@pytest.mark.parametrize("type_", ["float32", "float16"])
def test_every_vocabulary_and_both_types_of_weights(kind: str, type_: Type) -> None:
    assert max(differences(language_model(kind), type_)) < NEAR


@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_of_a_text_are_those_of_the_library(kind: str) -> None:
    lm = language_model(kind)
    text = lm.decode(some_ids(lm)) if kind != "byte" else "any text, é and 漢 included"
    held = payload(lm, some_ids(lm), "float32")
    found = run_engine(CHECK, {"spec": held, "text": text})["text"]
    expected = rounded(lm, "float32").score(text).log_probs
    np.testing.assert_allclose(found, expected, atol=NEAR)


def test_a_page_reads_line_ends_as_the_library_does() -> None:
    lm = language_model()
    held = payload(lm, some_ids(lm), "float32")
    same = rounded(lm, "float32")
    found = run_engine(CHECK, {"spec": held, "text": "one\r\ntwo\rthree"})["text"]
    np.testing.assert_allclose(found, same.score("one\ntwo\nthree").log_probs, atol=NEAR)


@pytest.mark.parametrize("level", ["char", "byte"])
@pytest.mark.parametrize(
    "kind", [{"documents": "paragraph"}, {"documents": "file"}, {"separator": "\n- é.*\n"}], ids=str
)
def test_a_page_reads_documents_as_the_library_does(kind: dict[str, str], level: str) -> None:
    data = Data.model_validate({**kind, "level": level})
    lm = replace(language_model("byte"), data=data)
    lm = replace(lm, vocabulary=Vocabulary(lm.vocabulary.symbols, data))
    held = payload(lm, some_ids(lm), "float32")
    assert (held["document"], held["level"]) == (data.document, level)
    texts = [
        "one \n \n\n\x1e two\n\n\n", "\n\none\r\n\r\ntwo", "\n", " ", "a\n- é.*\n\n- é.*\r\nb",
        "\x1e", "- é.*\nc", "  ", "", "plain",
    ]  # fmt: skip
    script = """
        const engine = require(process.argv[1]);
        const {spec, texts} = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const model = Object.assign(Object.create(engine.Model.prototype), {spec});
        console.log(JSON.stringify(texts.map((text) => model.symbolsOf(text))));
    """
    found = run_engine(script, {"spec": held, "texts": texts})
    assert found == [lm.vocabulary.points(as_read(text, data)).tolist() for text in texts]
    shown = texts[0].split()[0] + held["between"] + "two"
    assert run_engine(script, {"spec": held, "texts": [shown]})[0] == [*b"one\x1etwo"]


def test_the_script_has_the_cells_of_the_page() -> None:
    script = """
        const engine = require(process.argv[1]);
        console.log(JSON.stringify(Object.entries(engine.CELLS).map(
          ([name, cell]) =>
            [name, cell.gates, cell.state, cell.routes.map((route) => route.slice(0, 3))])));
    """
    found = {name: rest for name, *rest in run_engine(script, None)}
    assert found.keys() == CELLS.keys()
    for name, (gates, state, routes) in found.items():
        cell = CELLS[name]
        assert (tuple(gates), tuple(state)) == (cell.GATES, cell.STATE)
        assert [tuple(route) for route in routes] == [
            (route.name, route.start, route.end) for route in cell.ROUTES
        ]


def test_the_page_has_the_features_of_the_library() -> None:
    text = (
        'He said: "Go (home [now])!"\n\n“Über ﬁne\u0345 Ⅷ”, 漢字 X9y\n\t  in {a\n\n\n b}} '
        '"open\n\nÀ1Bc'
    )
    script = """
        const {FEATURES} = require(process.argv[1]);
        const text = Array.from(JSON.parse(require("fs").readFileSync(0, "utf8")));
        console.log(JSON.stringify(Object.entries(FEATURES).map(([name, of]) => [name, of(text)])));
    """
    found = dict(run_engine(script, text, ENGINE.with_name("features.js")))
    assert list(found) == list(FEATURES)
    for name, feature in FEATURES.items():
        assert found[name] == list(follow(feature, text)), name


MISTAKES = {
    "sigmoid": ("0.5 * (1 + Math.tanh(0.5 * x))", "0.5 * (1 + Math.tanh(x))"),
    "update gate": (
        "(1 - z[i]) * h_prev[i] + z[i] * n[i]); // (4)",
        "z[i] * h_prev[i] + (1 - z[i]) * n[i]);",
    ),
    "reset gate": ("r[i] * h_prev[i]);\n      const n", "h_prev[i]);\n      const n"),
    "bias": ("const a = Float64Array.from(b);", "const a = zeros(b.length);"),
    "output bias": ("this.W_hc, Float64Array.from(this.b_c)", "this.W_hc, zeros(this.V)"),
    "direct route": ("dh[i] * (1 - z[i]))],", "dh[i] * z[i])],"),
    "update route": ("z[i] * (1 - z[i])), w.W_h[0], dh.length)]", "z[i]), w.W_h[0], dh.length)]"),
    "candidate route": ("drh[i] * s.r[i]);", "drh[i]);"),
    "reset route": (
        "multiplyTransposed(dr, w.W_h[1], dh.length)",
        "multiplyTransposed(dr, w.W_h[2], dh.length)",
    ),
    "backward pass": ("+ fromZ[i] + drh[i] * r[i] + fromR[i]", "+ fromZ[i] + drh[i] * r[i]"),
    "loss": ("y[target] -= 1;", "y[target] -= 0.99;"),
    "softmax": ("return c.map((x) => x - total);", "return c.map((x) => x - top);"),
    "byte order": ("view.getFloat32(4 * i, true)", "view.getFloat32(4 * i, false)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_script_is_seen(name: str, tmp_path: Path) -> None:
    right, wrong = MISTAKES[name]
    source = ENGINE.read_text("utf-8")
    assert source.count(right) == 1
    damaged = tmp_path / "engine.js"
    damaged.write_text(source.replace(right, wrong), "utf-8")
    assert not max(differences(language_model(), engine=damaged)) < NEAR


def test_float16_is_decoded_as_numpy_does() -> None:
    bits = np.concatenate([np.arange(0x7C00), np.arange(0x8000, 0xFC00)]).astype(np.uint16)
    script = """
        const engine = require(process.argv[1]);
        const bits = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(JSON.stringify(bits.map(engine.half)));
    """
    found = run_engine(script, bits.tolist())
    np.testing.assert_array_equal(found, bits.view(np.float16).astype(np.float64))


CHOOSE = """
const engine = require(process.argv[1]);
const {logProbs, options, draws} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const uniform = engine.randomNumbers(7);
const counts = new Array(logProbs.length).fill(0);
const p = Float64Array.from(logProbs);
for (let i = 0; i < draws; i++) counts[engine.choose(p, options, uniform())]++;
console.log(JSON.stringify(counts));
"""


@pytest.mark.parametrize(
    ("options", "sampler"),
    [
        ({"temperature": 1}, Sampler(1.0)),
        ({"temperature": 0.5}, Sampler(0.5)),
        ({"temperature": 0}, Sampler(0.0)),
        ({"temperature": 1.5, "topK": 3}, Sampler(1.5, top_k=3)),
        ({"temperature": 1, "topP": 0.7}, Sampler(1.0, top_p=0.7)),
        ({"temperature": 1, "never": 2}, Sampler(1.0, never=2)),
    ],
    ids=str,
)
def test_symbols_are_drawn_as_the_library_draws_them(
    options: dict[str, float], sampler: Sampler
) -> None:
    p = np.array([0.4, 0.25, 0.2, 0.1, 0.04, 0.01])
    draws = 20_000
    counts = run_engine(
        CHOOSE, {"logProbs": np.log(p).tolist(), "options": options, "draws": draws}
    )
    uniform = (np.arange(draws) + 0.5) / draws
    logits = np.repeat(np.log(p)[None], draws, axis=0).astype(np.float32)
    expected = np.bincount(sampler.draw(logits, uniform), minlength=len(p))
    np.testing.assert_allclose(np.array(counts) / draws, expected / draws, atol=0.015)
    assert [n == 0 for n in counts] == [n == 0 for n in expected]


RECORDED = """
const engine = require(process.argv[1]);
const {spec} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const model = new engine.Model(spec);
let {state} = model.begin(), before = [];
for (const id of spec.proof.ids) {
  state = model.step(id, state);
  before.push([...state[0].h_prev]);
}
console.log(JSON.stringify(before));
"""


def test_recorded_states_begin_anew_with_each_document() -> None:
    lm = replace(language_model(kind="list"), path=None)
    ids = some_ids(lm)
    spec = payload(lm, ids, "float32") | {"cell": "own", "recorded": recorded(lm, ids)}
    before = np.array(run_engine(RECORDED, {"spec": spec}))
    h = read_layer(lm.model, np.array([lm.model.separator, *ids]), 1)["h"]
    ends = np.array(ids) == lm.model.separator
    assert ends.any()
    np.testing.assert_allclose(before, np.where(ends[:, None], 0, h[:-1]), atol=1e-12)
