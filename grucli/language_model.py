"""A language model: weights, a vocabulary, and the counts of its symbols.

This module has all rules for reading a text. A text is a string or bytes.

- A model of characters reads bytes as UTF-8. A model of bytes reads a string in its UTF-8 form.
- Line ends and separators of documents are read like those of the training text (``data``).
- New symbols, which are not in the vocabulary, are left out with ``unknown="skip"``. Otherwise they
  are read as the unknown character if the model has one, and are an error if it has none. With
  ``unknown="floor"`` a score charges for each of them instead of the error: as for half an
  occurrence in the training text. The model does not read them.
- A model of documents reads the end of one before a text, so the first symbol is predicted like the
  first symbol of any document. Other models start from the zero state. Their
  probability of the first symbol is its frequency in the training text.
- A sample without a prompt starts after a line end, or after a blank if the text is one line.
"""

import codecs
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, InstanceOf, with_config
from typing_extensions import TypedDict, Unpack

from grucli import compilation, evaluation
from grucli.arguments import Default, Lines, PathLike, Several, checked, completed, file_names
from grucli.beams import Beam, search
from grucli.conditions import condition
from grucli.config import Data, Settings, resolve
from grucli.data.corpus import Corpus, read
from grucli.data.documents import LINE_END, as_typed, end_of
from grucli.data.vocabulary import Unknown, UnknownInScore, Vocabulary, as_read, unified
from grucli.errors import ArgumentError, CorpusError
from grucli.evaluation import DECAY, RATE, Score
from grucli.line_scores import LineScore, Reader, line_scores, next_symbols
from grucli.nn.backend import LibraryName, select
from grucli.nn.model import Model, read_layer
from grucli.nn.params import Array, Ids
from grucli.novelty import NotIn, chosen
from grucli.sampling import MANY_SAMPLES, Sampler, Samples, check_stops
from grucli.text_out import to_bytes
from grucli.text_score import TextScore
from grucli.threads import available_cores

LONG = 2**18  # characters from which loading compiled code takes less time than it saves


@with_config(ConfigDict(extra="forbid"))
class BeamOptions(TypedDict, total=False):
    """The options of ``beams``, as in ``stream``."""

    prompt: Annotated[str | bytes, Default("")]
    stop: Annotated[Several[str], Default(())]
    unknown: Unknown


class DrawOptions(TypedDict, total=False):
    """How a sample is drawn, and what it must be, as ``stream`` explains."""

    temperature: Annotated[float, Default(0.8)]
    top_k: int | None
    top_p: float | None
    seed: int | None
    pattern: str | None
    only: str | None
    without: str | None
    min_length: int | None
    max_length: int | None
    exact: bool
    distinct: bool
    longest_copy: int | None


@with_config(ConfigDict(extra="forbid"))
class SampleOptions(BeamOptions, DrawOptions, total=False):
    """The options of ``sample``, ``stream``, which explains them, and ``samples``."""

    not_in: NotIn


@dataclass(frozen=True, eq=False, repr=False)
class LanguageModel:
    """A model that reads, samples and scores texts; ``grucli.load`` loads it from a run."""

    model: Model  # the weights and their functions
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]  # how often each symbol occurs in the training text, (V,)
    data: Data = field(default_factory=Data)  # how the training text was read
    path: Path | None = None  # the checkpoint file, for display
    library: Literal["auto"] | LibraryName = "numpy"  # for products with many rows
    compiled: bool = False  # whether loops are compiled, if Numba is installed
    unseen: Sequence[int] = ()  # ids of symbols in held-out text alone; they are new to ``encode``

    @cached_property
    def batch_model(self) -> Model:
        """The model for many samples or texts at a time; results differ only by rounding."""
        wanted: Literal["auto", "numpy"] = "numpy" if self.library == "numpy" else "auto"
        return self.model.on(select(wanted, "float32"))  # NumPy where oneDNN cannot be used

    def _compiled(self, model: Model, layers: int = 0) -> Model:
        """The model with compiled loops, for sampling if there are layers; the same without."""
        compiled = self.compiled and compilation.select("auto", model.cell, layers)
        return model.on(model.backend._replace(compiled=compiled))

    @cached_property
    def _reader(self) -> Reader:
        how = self.vocabulary, self.counts, self.data, self.unseen
        return Reader(*how, lambda: self.batch_model, str(self.path or "the model"))

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return int(self.model.params.flat.size)

    @property
    def documents(self) -> bool:
        return self.data.document is not None

    @property
    def start(self) -> int | None:
        """The id that is read before a text without a beginning: of a line end, or of a blank."""
        ids = [] if self.documents else map(self.vocabulary.id_of, (LINE_END, ord(" ")))
        return next((id_ for id_ in ids if id_ is not None), None)

    def __repr__(self) -> str:
        model, vocabulary = self.model, self.vocabulary
        of = "" if self.path is None else f" {self.path}"
        symbols = f"{len(vocabulary):,} {vocabulary.noun}s, {self.parameters:,} parameters"
        return f"<LanguageModel{of}: {model.cell}, {model.L} x {model.H} units, {symbols}>"

    # ---- reading

    @checked
    def encode(self, text: str | bytes, *, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """The ids of a text, (N,); ``unknown="skip"`` leaves out new symbols.

        Raises:
            UnknownCharacterError: the text has new symbols, which the message names.
            CorpusError: the bytes are not UTF-8, for a model of characters.
        """
        _, ids = self._reader.read(text, unknown)
        return ids[ids >= 0]

    @checked
    def decode(self, ids: Ids | Sequence[int]) -> str:
        """The text of ids (N,); bytes that are not UTF-8 become U+FFFD."""
        self._check(ids := np.asarray(ids, np.intp))
        return self.vocabulary.decode(ids).decode(errors="replace")

    def _check(self, ids: Ids) -> None:
        """Refuse ids (N,) of which one is of no symbol, as those of another model may be."""
        if len(ids) and not 0 <= int(np.min(ids)) <= int(np.max(ids)) < len(self.vocabulary):
            raise ArgumentError("ids", f"must be from 0 to {len(self.vocabulary) - 1:,}")

    @checked
    def read(
        self,
        files: Several[PathLike],
        *,
        encoding: str | None = None,
        unknown: UnknownInScore = "error",
    ) -> Corpus:
        """Read files with the settings of the training text.

        Args:
            files: files or directories, read as one text; - is standard input.
            encoding: of the files, if it differs from that of the training text.
            unknown: as in ``score``; the ids are without the new symbols, which are counted.

        Raises:
            CorpusError: a file is missing, empty, or not in the encoding.
            SettingsError: Python does not know the encoding.
            UnknownCharacterError: the text has new symbols, which the message names.
        """
        changes = {} if encoding is None else {"data.encoding": encoding}
        data = resolve([("encoding", changes)], Settings(data=self.data)).data
        if unknown == "floor":
            unknown = "skip" if self.vocabulary.unknown_id is None else "error"
        return read(file_names(files), data, self.vocabulary, unknown)

    def count_unknown(self, text: str | bytes) -> int:
        """The number of symbols of a text that the model never saw."""
        return int((self._reader.read(text, "skip")[1] < 0).sum())

    # ---- sampling

    @checked
    def sample(
        self, length: int = 500, *, echo: bool = True, **options: Unpack[SampleOptions]
    ) -> str:
        """The text that ``stream`` yields in parts."""
        return "".join(self.stream(length, echo=echo, **options))

    @checked
    def stream(
        self, length: int = 500, *, echo: bool = True, **options: Unpack[SampleOptions]
    ) -> Iterator[str]:
        """Make a text like the training text, and yield its parts while it is made.

        A model of documents makes one document, without the line end or the U+001E after it.

        Args:
            length: number of symbols to make: characters, or bytes for a model of bytes.
            echo: whether the prompt comes first.
            temperature: below 1 prefers probable symbols, above 1 is more varied, 0 always
                takes the most probable symbol.
            top_k: sample only from the k most probable symbols.
            top_p: sample only from the fewest symbols whose total probability reaches p.
            seed: the random seed; None draws a new one.
            stop: texts, or one text, before which the sample ends; they begin after the prompt.
            unknown: "error", or "skip" to leave out new symbols of the prompt.
            pattern: a regular expression that the document, with the prompt, or a sample of
                running text, without the prompt, matches as by ``re.fullmatch``.
            only, without: the characters that a sample may have, or not, such as "a-z".
            min_length, max_length: least and greatest number of symbols of a whole sample.
            exact: draw from the model's distribution given the condition, by rejection.
            distinct: no two of several samples are equal.
            not_in: texts, paths of files, and results of ``read``. A model of documents makes
                none of their documents. Other models copy no long passage of them.
            longest_copy: the most symbols that a copied passage may have; None for 30, or for any
                number if the model is one of documents.

        Raises:
            ArgumentError: a number is out of range; a stop text or a condition is not possible.
            CorpusError: a file of ``not_in`` cannot be read.
            RunError: hardly any samples are distinct or new, so there are too few of them.
            UnknownCharacterError: the prompt has new symbols, which the message names.
        """
        samples = self.samples(1, length, **options)
        pieces = (piece.data for piece in samples.pieces())
        data = chain([samples.prompt_data] if echo else [], pieces)
        return codecs.iterdecode(data, "utf-8", "replace")  # whole characters

    @checked
    def samples(self, count: int, length: int = 500, **options: Unpack[SampleOptions]) -> Samples:
        """Make ``count`` samples of one prompt in parallel, when the result is iterated over.

        The result yields whole samples with the log probability of each symbol. Its ``pieces()``
        yields texts while they are made. Its ``seed`` is the seed used. Each sample has its own
        random stream, so it does not depend on ``count``, and sample 0 equals that of ``sample``,
        but for rounding.
        Its ``tally`` counts what was thrown away for ``distinct`` and ``not_in``.
        Other arguments and errors are those of ``stream``.
        """
        return _samples(self, count, length, completed(SampleOptions, options))

    @checked
    def beams(self, count: int, length: int = 500, **options: Unpack[BeamOptions]) -> list[Beam]:
        """The ``count`` likeliest continuations that a beam of this width finds, best first.

        They are compared by the log probability of the text and of what ended it, so that short
        ones are favoured. The arguments and errors are those of ``stream``.
        """
        return search(replace(self, compiled=False).samples(count, length, **options))

    # ---- scoring

    @checked
    def score(self, text: str | bytes | Ids, *, unknown: UnknownInScore = "error") -> TextScore:
        """Score each symbol of a text, predicted from all symbols before it.

        Args:
            text: a text, or its ids (N,).
            unknown: "error"; "skip" to score the text without new symbols; or "floor" to charge
                for each of them as for half an occurrence in the training text.

        Errors are those of ``encode``.
        """
        if isinstance(text, str | bytes):
            points, ids = self._reader.read(text, unknown)
        else:
            self._check(ids := np.asarray(text, np.intp))
            points = self.vocabulary.symbols[ids]
        log_probs = self._reader.log_probs(self.model, ids, np.zeros(len(ids), np.intp))
        scored = (ids >= 0) | (unknown == "floor")
        symbols = self.vocabulary.form(self.vocabulary.text_of(points[scored]))
        return TextScore(symbols, log_probs[scored], int((~scored).sum()))

    @checked
    def score_lines(
        self, lines: Lines, *, unknown: UnknownInScore = "error"
    ) -> npt.NDArray[np.float64]:
        """The nats of each line, scored separately, (N,); faster than ``score`` on each line.

        Args:
            lines: N lines, or one line. A model of documents also predicts the end of each line.
                It adds a line end if there is none.
            unknown: as in ``score``; errors also. ``count_unknown`` counts the symbols left out.
        """
        scores = line_scores([self._reader], lines, unknown)
        return np.fromiter((score.nats for score in scores), np.float64)

    @checked
    def line_scores(
        self,
        lines: Lines,
        *,
        unknown: UnknownInScore = "error",
        against: Sequence[InstanceOf["LanguageModel"]] = (),
        prior: Sequence[float] | None = None,
        name: Callable[[int], str] = "line {:,}".format,
    ) -> Iterator[LineScore]:
        """Yield the score of each line; any number of lines needs little memory.

        Args:
            lines: as in ``score_lines``.
            unknown: as in ``score``. What "skip" leaves out, it leaves out for all models.
            against: other models, with the same ``data.level``, ``data.documents`` and
                ``data.separator``.
            prior: how probable this model and each other one is before a line is seen; only the
                proportions count. None: all are equally probable.
            name: the name of a line in messages, by its number from 1.

        Raises:
            UnknownCharacterError, CorpusError: as in ``score``, with the name of the line.
            UsageError: the models do not predict the same symbols.
            ArgumentError: ``prior`` is not one positive number for each model.
        """
        readers = [self._reader, *(other._reader for other in against)]
        return line_scores(readers, lines, unknown, prior, name)

    @checked
    def next(
        self, prompts: str | bytes | InstanceOf[Iterable[Any]], *, unknown: Unknown = "error"
    ) -> Any:
        """The ``Distribution`` of the symbol after a prompt, or a list of those after several.

        It has all V symbols, also the unknown character if the model has one. After an empty prompt
        it is that of the first symbol in ``score``, divided by its sum. Errors are those of
        ``encode``, with the number of the prompt if there are several.
        """
        some = [prompts] if isinstance(prompts, str | bytes) else list(prompts)
        found = list(next_symbols(self._reader, some, unknown))
        return found[0] if isinstance(prompts, str | bytes) else found

    @checked
    def evaluate(
        self,
        text: str | bytes | Ids | InstanceOf[Corpus],
        *,
        unknown: UnknownInScore = "error",
        begins: bool = True,
        context: int | None = None,
        workers: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Score:
        """Score a long text as sums; only a model of documents predicts its first symbol.

        Args:
            text: a text; a text that ``read`` has returned; or ids (N,), in memory or mapped. It
                may have ``unseen`` symbols.
            unknown: as in ``score``. For the result of ``read``, "floor" charges for the symbols
                that it left out.
            begins: False for a part of a longer text: no separator is read before it.
            context: the state starts from zero every so many symbols; None: only at the start.
            workers: number of threads that share the work; None takes all cores.
            stop: called repeatedly; the evaluation stops when it returns True.

        Raises:
            CorpusError: there is nothing to predict, or ``read`` was that of another model.
            Stopped: ``stop`` has returned True.
        """
        least = 1 if begins and self.documents else 2
        ids, score = _ids_and_charge(self, text, unknown, least)
        if len(ids) < least:
            return score
        cores = available_cores() if workers is None else workers
        model = self.batch_model if len(ids) < LONG else self._compiled(self.batch_model)
        return score + evaluation.evaluate(model, ids, cores, stop, begins=begins, context=context)

    @checked
    def adapt(
        self,
        text: str | bytes | Ids | InstanceOf[Corpus],
        *,
        rate: float = RATE,
        decay: float = DECAY,
        unknown: UnknownInScore = "error",
    ) -> "Adapted":
        """Score a text while a copy of the model learns from it (``grucli.evaluation``).

        Args:
            text: as in ``evaluate``, whose errors are raised, too. It is read in one stream.
            rate: from 0 to 1, the change of a weight in a step with a typical gradient.
            decay: from 0 to 1, the share by which each step takes weights back to the trained ones.
            unknown: as in ``score``.
        """
        ids, charge = _ids_and_charge(self, text, unknown, 1 if self.documents else 2)
        static, score, model = self.evaluate(text, unknown=unknown), charge, self.model
        if static.chars > charge.chars:
            made, model = evaluation.adapt(model, ids, rate, decay)
            score += made
        return Adapted(static, score, replace(self, model=model, path=None), rate, decay)

    # ---- states

    @checked
    def states(
        self, text: str | bytes, *, layer: int = 1, unknown: Unknown = "error"
    ) -> dict[str, Array]:
        """The states and gates of a layer while it reads a text from the zero state.

        Returns:
            Arrays (T, H) for T symbols by their names in the equations: parts of the state
            ("h"; "c" of an LSTM), gates ("z", "r", "n" of a GRU; "i", "f", "o", "g" of an LSTM),
            and "u" of an LSTM, or of a GRU whose reset gate acts after the product.

        Raises:
            ArgumentError: there is no such layer; the first one is 1.
            UnknownCharacterError: the text has new symbols, which the message names.
        """
        if not 1 <= layer <= self.model.L:
            raise ArgumentError("layer", f"must be from 1 to {self.model.L}, not {layer}")
        ids, separator = self.encode(text, unknown=unknown), self.model.separator
        if separator is None:
            return read_layer(self.model, ids, layer)
        whole = read_layer(self.model, np.concatenate([[separator], ids]), layer)
        return {name: array[1:] for name, array in whole.items()}


@dataclass(frozen=True)
class Adapted:
    """The result of ``LanguageModel.adapt``: the scores of one text, with and without learning."""

    static: Score  # of the model as it was trained, as ``evaluate`` returns it
    score: Score  # of the same symbols, while the model learns from those before
    lm: LanguageModel  # a copy with the weights after the text
    rate: float
    decay: float


def _ids_and_charge(
    lm: LanguageModel, text: str | bytes | Ids | Corpus, unknown: UnknownInScore, least: int
) -> tuple[Ids, Score]:
    """The ids of a text, ``least`` or some charge, and the score of the symbols without ids."""
    if isinstance(text, Corpus):
        if text.vocabulary != lm.vocabulary:
            raise CorpusError(
                f"{', '.join(text.sources)}: was read for a model with another vocabulary; "
                "read it with this one's `read`"
            )
        ids, new = text.ids, text.text_id.skipped
    elif isinstance(text, str | bytes):
        found = lm.vocabulary.find(lm.vocabulary.points(as_read(text, lm.data)), unknown)
        ids, new = found[found >= 0], int((found < 0).sum())
    else:
        lm._check(text)
        ids, new = text, 0
    charged = new if unknown == "floor" else 0
    if len(ids) < least and not charged:
        where = f"{', '.join(text.sources)}: " if isinstance(text, Corpus) else ""
        raise CorpusError(
            f"{where}the model knows {len(ids)} of its characters; it needs one to read and one "
            "to predict"
        )
    return ids, Score(charged, -charged * lm._reader.floor, 0, skipped=new - charged)


def _samples(lm: LanguageModel, count: int, length: int, asked: dict[str, Any]) -> Samples:
    check_stops(asked["stop"], of_bytes=lm.data.level == "byte")
    points, before = lm._reader.read(asked["prompt"], asked["unknown"])
    points, before = points[before >= 0], before[before >= 0]
    ends = [to_bytes(unified(text, lm.data)) for text in asked["stop"]]
    last, begun = end_of(lm.data), points[:0]
    if last is not None:
        ends.append(bytes([last]))
        finished = np.flatnonzero(before == lm.vocabulary.id_of(last))
        begun = points[1 + finished.max(initial=-1) :]
    elif not len(before) and lm.start is not None:
        before = np.array([lm.start])
    made = condition(lm.vocabulary, ends, begun, length, asked)
    few = count < MANY_SAMPLES and not (asked["exact"] or asked["distinct"])
    model = lm.model if few and asked["not_in"] is None else lm.batch_model
    seed, cut = asked["seed"], {name: asked[name] for name in ("temperature", "top_k", "top_p")}
    samples = Samples(
        model=model if made else lm._compiled(model, model.L),
        vocabulary=lm.vocabulary,
        counts=lm.counts,
        prompt=before,
        prompt_data=as_typed(lm.vocabulary.text_of(points), lm.data),
        count=count,
        length=made.length if made else length,
        sampler=Sampler(**cut, never=lm.vocabulary.unknown_id),
        seed=secrets.randbits(32) if seed is None else seed,
        stops=ends,
        condition=made,
    )
    return chosen(samples, lm.data, lm.vocabulary.text_of(begun), asked)
