"""Make a page: one HTML file that holds a model and runs it in a browser, without a network."""

import base64
import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grucli import __version__
from grucli.analysis.gradient_flow import norms_by_distance
from grucli.analysis.gradient_routes import look_back
from grucli.analysis.route_shares import shares_by_distance
from grucli.arguments import PathLike, checked
from grucli.data.documents import between, separators, shown
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import unified
from grucli.errors import ArgumentError, CheckpointError, CorpusError
from grucli.html import WebPage, as_html, filled, source
from grucli.language_model import LanguageModel
from grucli.nn.cells import CELLS, in_words
from grucli.nn.model import Model, read_layer
from grucli.nn.params import Ids
from grucli.run.overlap import find_copy
from grucli.run.records import IMPORTED, KEPT_TEXT
from grucli.run.run import Run

Type = Literal["float32", "float16"]  # of the weights in a page

# The page's script is one text, so that no file is loaded; in this order.
SCRIPTS = (
    "engine features symbols elements formulas strip reading marks write surprise inside gradient "
    "proof page"
).split()
COMPUTED = {"gru", "gru-after", "lstm", "rnn"}  # the cells that the script of the page computes
LARGE = 10**6  # parameters, above which the weights are float16
LARGEST_HALF = 65504.0  # the largest number of float16

SEED = 0  # of the sample that is examined and shown
SAMPLED = 2000  # symbols of the sample that is searched for copies of the training text
SHOWN = 600  # symbols of it that the page shows first
PROVEN = 200  # symbols of it whose numbers the page checks
SEPARATOR = "\N{SYMBOL FOR RECORD SEPARATOR}"  # what the page shows for U+001E
FOLLOWED = 24  # steps that this proof follows the gradient back


@dataclass(frozen=True)
class Page(WebPage):
    """A page, and what its author should know before sharing it."""

    type: Type  # the type of its weights
    # the longest passage of a sample that is also in the training text; None if the training text
    # is not there
    copied: str | None


@checked
def page(
    run: PathLike,
    *,
    title: str | None = None,
    passage: str | None = None,
    weights: Type | None = None,
) -> Page:
    """Make a page that holds the model of a run and runs it in a browser.

    Args:
        run: the run directory or the checkpoint file.
        title: the heading; None for one with the name of the text.
        passage: the text that the page reads first; None for a sample of the model, so that the
            page holds no text of the user.
        weights: the type of the weights; None for float16 above a million parameters.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        UnknownCharacterError: the text has characters that the model never saw.
        ArgumentError: a weight is too large for float16.
    """
    opened = Run.open(run)
    lm = opened.lm
    type_ = weights or suited_type(lm.model)
    if type_ == "float16" and abs(lm.model.params.flat).max() > LARGEST_HALF:
        raise ArgumentError("weights", "must be float32: a weight is too large for float16")
    short = replace(lm, compiled=False)  # loading compiled code would take more time than it saves
    sample = short.samples(1, SAMPLED, seed=SEED).ids()
    copied = _copied(opened, sample)
    if passage is None:
        # without bytes that are no text: U+FFFD for them would be text that the model never saw
        read, passage = sample, lm.vocabulary.decode(sample[:SHOWN]).decode(errors="ignore")
    else:  # a character that the model never saw is an error here, not in the page
        read = lm.encode(passage)
    proof = (sample if lm.model.cell in COMPUTED else read)[:PROVEN]
    if len(proof) < 2:
        raise ArgumentError("passage", "must have at least two characters that the model knows")
    content = payload(lm, proof, type_)
    about = _about(opened, type_, copied) | ({"title": title} if title else {})
    content |= {"about": about, "passage": passage}
    if lm.model.cell not in COMPUTED:
        written = shown(lm.vocabulary.decode(sample[:SHOWN]), lm.data)
        content["written"] = written.decode(errors="replace")
        content["recorded"] = recorded(rounded(lm, type_), proof)
    return Page(html(content), type_, copied)


def suited_type(model: Model) -> Type:
    """The type of the weights: float16 for large models whose weights it can represent."""
    flat = model.params.flat
    fits = float(np.abs(flat).max(initial=0.0)) <= LARGEST_HALF
    return "float16" if flat.size > LARGE and fits else "float32"


# ---- what the page says of its run


def _copied(run: Run, sample: Ids) -> str | None:
    """The longest passage of a sample that is also in the training text, if that is there."""
    with suppress(CheckpointError, CorpusError):
        return find_copy(sample, run.part("train"), run.lm.vocabulary).text
    return None


def _about(run: Run, type_: Type, copied: str | None) -> dict[str, Any]:
    """The heading, a sentence below it, and facts by name."""
    lm, checkpoint, progress = run.lm, run.checkpoint, run.checkpoint.progress
    name, model, noun = _text_name(run), lm.model, lm.vocabulary.noun
    corpus, predicts = checkpoint.text_id, f"It predicts the next {noun} of a text"
    length = "which is not recorded"
    if corpus.is_known:
        length = f"{corpus.chars:,} {noun}s"
        predicts = f"Trained on a text of {length}, it predicts the next one"
    steps = f"{progress.step:,} step{'s' * (progress.step != 1)}"
    facts = {
        "Text": f"{name}, {length}, {model.V:,} different",
        "Network": f"{in_words(model.cell)}, {model.L} x {model.H:,} "
        f"units, {lm.parameters:,} parameters ({type_} here)",
    }
    if progress.step:
        portion = f" of {checkpoint.batch} x {checkpoint.window} {noun}s"
        facts["Training"] = steps + portion * (run.info.status != IMPORTED)
    if progress.best_loss is not None:
        judged = "Held-out text" if checkpoint.settings.data.val else "Training text"
        bits = progress.best_loss / math.log(2)
        facts[judged] = f"{progress.best_loss:.4f} nats = {bits:.4f} bits per {noun}"
    if copied is not None:
        size = f"{len(copied):,} characters" if copied else f"shorter than 8 {noun}s"
        facts["Recitation"] = f"longest passage of a sample that is in the training text: {size}"
    facts["Made with"] = f"grucli {__version__}"
    return {
        "title": f"A model that writes like {name}",
        "subtitle": f"{predicts}. It needs nothing but this page.",
        "facts": list(facts.items()),
    }


def _text_name(run: Run) -> str:
    """The name of the training text, or of the checkpoint without a run."""
    if run.path == run.file:
        return run.file.stem
    unnamed = (STANDARD_INPUT, KEPT_TEXT)
    names = [Path(path).stem for path in run.info.corpus.paths or [] if path not in unnamed]
    if not names:
        return "its training text"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


# ---- what it holds of the model


def rounded(lm: LanguageModel, type_: Type) -> LanguageModel:
    """A model that computes in float64, with the weights that a page holds."""
    model = lm.model.astype(np.float64)
    model.params.flat[:] = lm.model.params.flat.astype(type_)
    return replace(lm, model=model)


def payload(lm: LanguageModel, proof: Ids, type_: Type) -> dict[str, Any]:
    """What the page's script reads of a model, and a ``proof`` of ids (N,) that it checks."""
    model, pattern = lm.model, separators(lm.data.model_copy(update={"level": "char"}))
    weights = model.params.flat.astype("<f2" if type_ == "float16" else "<f4")
    return {
        "cell": model.cell,
        "V": model.V,
        "H": model.H,
        "L": model.L,
        "separator": model.separator,
        "unseen": list(lm.unseen),
        "unknown": lm.vocabulary.unknown_id,
        "document": lm.data.document,
        "separators": None if pattern is None else f"{pattern}|{SEPARATOR}",
        "between": between(lm.data) if lm.data.documents == "paragraph" else f"\n{SEPARATOR}\n",
        "start": lm.start,
        "level": lm.vocabulary.level,
        "unify": unified("\r", lm.data) == "\n",
        "symbols": lm.vocabulary.symbols.tolist(),
        "counts": lm.counts.tolist(),
        "type": type_,
        "shapes": [[name, list(shape)] for name, shape in model.params.shapes.items()],
        "weights": base64.b64encode(weights.tobytes()).decode("ascii"),
        "proof": _proof(rounded(lm, type_), proof),
    }


def recorded(lm: LanguageModel, ids: Ids) -> dict[str, Any]:
    """The values of a text, (L, fields, T, H), for a cell that the page's script does not have."""
    model = lm.model
    read = np.array([*([] if model.separator is None else [model.separator]), *ids], np.intp)
    layers = [read_layer(model, read, layer) for layer in range(1, model.L + 1)]
    values = np.array([[*layer.values()] for layer in layers], "<f8")
    return {
        "ids": read.tolist(),
        "state": CELLS[model.cell].STATE,
        "fields": list(layers[0]),
        "values": base64.b64encode(values.tobytes()).decode("ascii"),
    }


def _proof(lm: LanguageModel, ids: Ids) -> dict[str, Any]:
    """Log probabilities of a text, and the gradient of its last symbol, computed by NumPy."""
    separator = lm.model.separator
    read = ids if separator is None else np.concatenate([[separator], ids])
    distance = min(FOLLOWED, len(read) - 1)
    history = look_back(lm.model, np.asarray(read, np.intp)[:, None], distance)
    norms = norms_by_distance(history)[1:, 0].tolist()
    return {
        "ids": ids.tolist(),
        "log_probs": lm.score(ids).log_probs.tolist(),
        "norms": norms[: norms.index(0.0)] if 0.0 in norms else norms,  # as far as one arrives
        "shares": list(shares_by_distance(history).values()),
    }


# ---- HTML


def html(content: dict[str, Any]) -> str:
    """The page of a model: its script and style alone may run, and its texts are JSON."""
    names = ("page.html", "style.css", *(f"{name}.js" for name in SCRIPTS))
    template, style, *scripts = (source("grucli.pages", name) for name in names)
    title = as_html(content["about"]["title"])
    return filled(template, style, "\n".join(scripts), title=title, content=in_script(content))


def in_script(content: Any) -> str:
    """JSON for a script element: ASCII, and without characters that HTML gives a meaning."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
