"""A language model: weights, a vocabulary, and the counts of its symbols.

This module has all rules for reading a text. A text is a string or bytes.

- A model of characters reads bytes as UTF-8. A model of bytes reads a string in its UTF-8 form.
- Line ends are read like those of the training text (``data.newlines``).
- New symbols, which are not in the vocabulary, are left out with ``unknown="skip"``. Otherwise they
  are read as the unknown character if the model has one, and are an error if it has none.
- A model of documents (``data.documents``) reads the separator before a text, so the first symbol
  is predicted like the first symbol of any document. Other models start from the zero state. Their
  probability of the first symbol is its frequency in the training text.
- A sample without a prompt starts after a line end, if the training text has line ends.
"""

import codecs
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from grucli import evaluation
from grucli.config import Data, Settings, resolve
from grucli.data.corpus import Corpus, read
from grucli.data.vocabulary import Unknown, Vocabulary, decoded, unified
from grucli.errors import ArgumentError, CorpusError, UnknownCharacterError
from grucli.evaluation import Score, log_probs_side_by_side, nats_of
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.nn.products import LibraryName, float32_products
from grucli.samples import Samples, check_stops
from grucli.sampling import MANY_SAMPLES, Sampler, sample_ids
from grucli.text_score import TextScore
from grucli.threads import available_cores

SORTED = 2**16
"""Number of lines that are held in memory and scored together."""

WINDOW = 128
"""Number of characters whose states are computed at a time; it does not change the result."""

UNSEEN = 0.5
"""Count of a first character that does not occur in the training text."""


@dataclass(frozen=True, eq=False, repr=False)
class TextReader:
    """A model with the rules for reading texts: ids of symbols, and the start of a text.

    Attributes:
        model: the weights and their functions.
        vocabulary: the symbols.
        counts: how often each symbol occurs in the training text, (V,).
        data: how the training text was read: level, encoding, documents.
        path: the checkpoint file, for display.
        library: which library computes products with many rows; auto: oneDNN if it can be used.
        unseen: ids of symbols that occur in held-out text alone; they count as new in ``encode``.
    """

    model: Model
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]
    data: Data = field(default_factory=Data)
    path: Path | None = None
    library: Literal["auto"] | LibraryName = "numpy"
    unseen: Sequence[int] = ()

    @cached_property
    def batch_model(self) -> Model:
        """The model for many samples or texts at a time; results differ only by rounding."""
        return self.model.with_products(float32_products(self.library))

    @property
    def documents(self) -> bool:
        """Whether the training text consists of documents."""
        return self.data.documents is not None

    def encode(self, text: str | bytes, *, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """The ids of a text, (N,).

        Args:
            text: a string or bytes.
            unknown: "error", or "skip" to leave out new symbols.

        Raises:
            UnknownCharacterError: the text has new symbols, which the message names.
            CorpusError: the bytes are not UTF-8, for a model of characters.
        """
        return self.vocabulary.encode(self._unified(text), unknown, self.unseen)

    def _unified(self, text: str | bytes) -> str | bytes:
        """The text with the line ends of the training text; a string, unless symbols are bytes."""
        return text if self.vocabulary.level == "byte" else unified(decoded(text), self.data)

    def decode(self, ids: Ids) -> str:
        """The text of ids (N,); bytes that are not UTF-8 become U+FFFD."""
        return self.vocabulary.decode(ids).decode(errors="replace")

    def read(
        self,
        files: Sequence[str | Path],
        *,
        encoding: str | None = None,
        unknown: Unknown = "error",
    ) -> Corpus:
        """Read files with the settings of the training text.

        Args:
            files: paths of files or directories, read as one text; - is standard input.
            encoding: encoding of the files, if it differs from that of the training text.
            unknown: "error", or "skip" to leave out new symbols.

        Raises:
            CorpusError: a file is missing, empty, or not in the encoding.
            SettingsError: Python does not know the encoding.
            UnknownCharacterError: the text has new symbols, which the message names.
        """
        changes = {} if encoding is None else {"data.encoding": encoding}
        data = resolve([("encoding", changes)], Settings(data=self.data)).data
        return read([str(file) for file in files], data, self.vocabulary, unknown)

    def _ids(self, text: str | bytes) -> npt.NDArray[np.intp]:
        """The ids of a text that may have symbols of the held-out text, as files may."""
        return self.vocabulary.encode(self._unified(text))

    def _as_read(self, text: str | bytes | Ids, ids: Ids, unknown: Unknown) -> bytes:
        """The text that the model reads, as bytes: without skipped symbols and a text's BOM."""
        if isinstance(text, str | bytes) and unknown != "skip" and self.vocabulary.level == "char":
            return unified(decoded(text), self.data).encode(errors="replace")
        return self.vocabulary.decode(ids)

    def _begin(self, ids: Ids) -> tuple[Array, Ids]:
        """Prepare the start of a text.

        Returns:
            The log probability of the first symbol if no symbol is read before it, (0,) or (1,);
            and the ids to read, of which the model does not predict the first.
        """
        if self.model.separator is not None:
            return np.zeros(0), np.concatenate([[self.model.separator], ids])
        total = int(self.counts.sum())
        return np.log(np.maximum(self.counts[ids[:1]], UNSEEN) / total), ids

    def _before_sample(self, prompt: Ids) -> Ids:
        """The ids that the model reads before a sample: the prompt, or a line end without one."""
        end = self.vocabulary.line_end
        if len(prompt) or self.documents or end is None:
            return prompt
        return np.array([end])

    def _lines(self, lines: Iterable[str | bytes], unknown: Unknown) -> Iterator[Ids]:
        """Yield the ids of each line; a model of documents adds a missing line end."""
        end = self.model.separator
        for number, line in enumerate(lines, 1):
            try:
                ids = self.encode(line, unknown=unknown)
            except (CorpusError, UnknownCharacterError) as error:
                raise type(error)(f"line {number:,}: {error}") from None
            if end is not None and not (len(ids) and ids[-1] == end):
                ids = np.append(ids, end)
            yield ids


@dataclass(frozen=True, eq=False, repr=False)
class LanguageModel(TextReader):
    """A model that samples, scores and shows its states; ``grucli.load`` loads it from a run."""

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return int(self.model.params.flat.size)

    def __repr__(self) -> str:
        model, noun = self.model, "bytes" if self.vocabulary.level == "byte" else "characters"
        of = "" if self.path is None else f" {self.path}"
        return (
            f"<LanguageModel{of}: {model.cell}, {model.L} x {model.H} units, "
            f"{len(self.vocabulary):,} {noun}, {self.parameters:,} parameters>"
        )

    # ---- sampling

    def sample(
        self,
        length: int = 500,
        *,
        prompt: str | bytes = "",
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        unknown: Unknown = "error",
        echo: bool = True,
    ) -> str:
        """Make a text like the training text; arguments and errors as in ``stream``."""
        pieces = self.stream(
            length,
            prompt=prompt,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=stop,
            unknown=unknown,
            echo=echo,
        )
        return "".join(pieces)

    def stream(
        self,
        length: int = 500,
        *,
        prompt: str | bytes = "",
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        unknown: Unknown = "error",
        echo: bool = True,
    ) -> Iterator[str]:
        """Make a text like the training text, and yield its parts while it is made.

        A model of documents makes one document, without the line end after it.

        Args:
            length: number of symbols to make: characters, or bytes for a model of bytes.
            prompt: a text to continue.
            temperature: below 1 prefers probable symbols, above 1 is more varied, 0 always
                takes the most probable symbol.
            top_k: sample only from the k most probable symbols.
            top_p: sample only from the fewest symbols whose total probability reaches p.
            seed: the random seed; None draws a new one.
            stop: texts that end the sample; the text that ends it is not part of it.
            unknown: "error", or "skip" to leave out new symbols of the prompt.
            echo: whether the prompt comes first.

        Raises:
            ArgumentError: a number is out of range, or a stop text is not possible.
            UnknownCharacterError: the prompt has new symbols, which the message names.
        """
        samples = self.samples(
            1,
            length,
            prompt=prompt,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=stop,
            unknown=unknown,
        )
        return _decoded(samples, samples.prompt_data if echo else b"")

    def samples(
        self,
        count: int,
        length: int = 500,
        *,
        prompt: str | bytes = "",
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        unknown: Unknown = "error",
    ) -> Samples:
        """Make ``count`` samples of one prompt in parallel, when the result is iterated over.

        The result yields whole samples with the log probability of each symbol. Its ``pieces()``
        yields texts while they are made. Its ``seed`` is the seed used. Each sample has its own
        random stream, so it does not depend on ``count``, and sample 0 equals that of ``sample``.
        Other arguments and errors are those of ``stream``.
        """
        check_stops(stop)
        ids = self.encode(prompt, unknown=unknown)
        stops = [unified(text, self.data).encode(errors="replace") for text in stop]
        return Samples(
            model=self.model if count < MANY_SAMPLES else self.batch_model,
            vocabulary=self.vocabulary,
            counts=self.counts,
            prompt=self._before_sample(ids),
            prompt_data=self._as_read(prompt, ids, unknown),
            count=count,
            length=length,
            sampler=self._sampler(temperature, top_k, top_p),
            seed=secrets.randbits(32) if seed is None else seed,
            stops=[*stops, b"\n"] if self.documents else stops,
        )

    def sample_ids(
        self,
        length: int,
        *,
        prompt: str = "",
        temperature: float = 0.8,
        seed: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> npt.NDArray[np.intp]:
        """The ids of one sample without its prompt, (length,); it may have several documents.

        ``stop`` is called at each symbol, and ``Stopped`` is raised if it returns True. Other
        arguments and errors are those of ``stream``.
        """
        return sample_ids(
            self.model,
            self.counts,
            self._before_sample(self.encode(prompt)),
            length=length,
            sampler=self._sampler(temperature),
            seed=seed,
            stop=stop,
        )

    def _sampler(
        self, temperature: float, top_k: int | None = None, top_p: float | None = None
    ) -> Sampler:
        return Sampler(temperature, top_k, top_p, never=self.vocabulary.unknown_id)

    # ---- scoring

    def score(self, text: str | bytes | Ids, *, unknown: Unknown = "error") -> TextScore:
        """Score each symbol of a text, predicted from all symbols before it.

        Args:
            text: a text, or its ids (N,).
            unknown: "error", or "skip" to score the text without new symbols.

        Raises:
            UnknownCharacterError: the text has new symbols, which the message names.
            CorpusError: the bytes are not UTF-8, for a model of characters.
        """
        ids = self.encode(text, unknown=unknown) if isinstance(text, str | bytes) else text
        data = self._as_read(text, ids, unknown)
        symbols = data if self.vocabulary.level == "byte" else data.decode()
        first, after = self._begin(ids)
        rest = [log_probs[:, 0] for log_probs in log_probs_side_by_side(self.model, [after])]
        return TextScore(symbols, np.concatenate([first, *rest], dtype=np.float64))

    def score_lines(
        self, lines: Iterable[str | bytes], *, unknown: Unknown = "error"
    ) -> npt.NDArray[np.float64]:
        """The nats of each line, scored separately, (N,); faster than ``score`` on each line.

        Args:
            lines: N lines. A model of documents also predicts the end of each line. It adds a
                line end if there is none.
            unknown: as in ``score``; errors also.
        """
        texts, nats = self._lines(lines, unknown), [np.zeros(0)]
        while begun := list(map(self._begin, islice(texts, SORTED))):
            first = [log_probs.sum() for log_probs, _ in begun]
            nats.append(nats_of(self.batch_model, [ids for _, ids in begun]) - first)
        return np.concatenate(nats)

    def evaluate(
        self,
        text: str | bytes | Ids,
        *,
        begins: bool = True,
        workers: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Score:
        """Score a long text as sums; only a model of documents predicts its first symbol.

        Args:
            text: a text, or its ids (N,), in memory or mapped from a file; ``unseen`` ones, too.
            begins: False for a part of a longer text: no separator is read before it.
            workers: number of threads that share the work; None takes all cores.
            stop: called repeatedly; the evaluation stops when it returns True.

        Raises:
            CorpusError: there is nothing to predict.
            Stopped: ``stop`` has returned True.
        """
        ids = self._ids(text) if isinstance(text, str | bytes) else text
        if len(ids) < (1 if begins and self.documents else 2):
            raise CorpusError(
                f"the model knows {len(ids)} of its characters; it needs one to read and one to "
                "predict"
            )
        cores = available_cores() if workers is None else workers
        return evaluation.evaluate(self.batch_model, ids, cores, stop, begins=begins)

    # ---- states

    def states(
        self, text: str | bytes, *, layer: int = 1, unknown: Unknown = "error"
    ) -> dict[str, Array]:
        """The states and gates of a layer while it reads a text from the zero state.

        Args:
            text: a string or bytes.
            layer: number of the layer, from 1.
            unknown: as in ``score``.

        Returns:
            Arrays (T, H) for T symbols by their names in the equations: parts of the state
            ("h"; "c" of an LSTM), gates ("z", "r", "n" of a GRU; "i", "f", "o", "g" of an LSTM),
            and "u" of an LSTM, or of a GRU whose reset gate acts after the product.

        Raises:
            ArgumentError: there is no such layer; other errors as in ``score``.
        """
        if not 1 <= layer <= self.model.L:
            raise ArgumentError("layer", f"must be from 1 to {self.model.L}, not {layer}")
        ids = self.encode(text, unknown=unknown)
        if self.model.separator is None:
            return _states(self.model, ids, layer)
        begun = np.concatenate([[self.model.separator], ids])
        return {name: array[1:] for name, array in _states(self.model, begun, layer).items()}


def _decoded(samples: Samples, prompt: bytes) -> Iterator[str]:
    """Yield the prompt and a sample as text, in whole characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = (piece.data for piece in samples.pieces())
    for data in chain([prompt], pieces):
        if text := decoder.decode(data):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _states(model: Model, ids: Ids, layer: int) -> dict[str, Array]:
    """The states and gates of a layer while it reads ids (T,) from the zero state, each (T, H)."""
    cell, state = CELLS[model.cell], model.zero_state(1)
    names = (*cell.STATE, *cell.GATES, *cell.SAVED)
    workspace = model.workspace(WINDOW, 1)
    arrays = np.empty((len(names), len(ids), model.H), state.dtype)
    for lo in range(0, len(ids), WINDOW):
        x = ids[lo : lo + WINDOW, None]
        used = workspace.first(len(x))
        _, state = model.run(x, state, used)
        cache = used.caches[layer - 1]
        values = np.concatenate([cache.states[:, 1:], cache.a, cache.saved])
        arrays[:, lo : lo + WINDOW] = values[:, :, 0]
    return {name: array for name, array in zip(names, arrays, strict=True) if name}
