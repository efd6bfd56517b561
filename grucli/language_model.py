"""A language model: weights, a vocabulary, and how often its symbols occur.

All rules of how a text is read are here. A text is a string, or bytes.

- A model of characters reads bytes as UTF-8; a model of bytes reads a string in its UTF-8 form.
- Symbols that the model never saw are an error, or are left out (``unknown="skip"``), or are read
  as the unknown character, if the model has one.
- A model of a list (``data.documents``) reads the separator before a text, so that the first
  symbol is predicted as the first of any document. Other models begin with the zero state, and
  the first symbol costs what sampling gives it: its frequency in the training text.
"""

import codecs
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grucli import evaluation
from grucli.config import Data, Settings, resolve
from grucli.data.corpus import Corpus, read
from grucli.data.vocabulary import Unknown, Vocabulary
from grucli.errors import ArgumentError, CorpusError, UnknownCharacterError
from grucli.evaluation import Score, log_probs_side_by_side, nats_of
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.sampling import Sampler, Samples, check_stops, sample_ids
from grucli.text_score import TextScore
from grucli.threads import available_cores

SORTED = 2**16
"""Lines that are held in memory together."""

WINDOW = 128
"""Characters whose states are computed at a time; does not change the result."""

UNSEEN = 0.5
"""Occurrences that a first character which the training text lacks is taken to have."""


@dataclass(frozen=True, eq=False, repr=False)
class TextReader:
    """How a model reads texts: what its ids stand for, and how a text is begun.

    Attributes:
        model: the weights, and the functions of them.
        vocabulary: the symbols.
        counts: how often each occurs in the training text, (V,).
        data: how the training text was read: its level and encoding, whether it is a list.
        path: the checkpoint that it comes from, for display.
    """

    model: Model
    vocabulary: Vocabulary
    counts: npt.NDArray[np.int64]
    data: Data = field(default_factory=Data)
    path: Path | None = None

    @property
    def documents(self) -> bool:
        """Whether the training text is a list of documents."""
        return self.data.documents is not None

    def encode(self, text: str | bytes, *, unknown: Unknown = "error") -> npt.NDArray[np.intp]:
        """Ids of a text, (N,).

        Args:
            text: a string, or bytes.
            unknown: "error", or "skip" to leave symbols out that the model never saw.

        Raises:
            UnknownCharacterError: naming the symbols that it never saw.
            CorpusError: bytes that are not UTF-8, for a model of characters.
        """
        return self.vocabulary.encode(text, unknown)

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
        """Read files as the training text was read.

        Args:
            files: paths of files or directories, which follow one another; - is standard input.
            encoding: if the files are not encoded as the training text was.
            unknown: "error", or "skip" to leave symbols out that the model never saw.

        Raises:
            CorpusError: missing, empty, or not in the encoding.
            SettingsError: Python knows no such encoding.
            UnknownCharacterError: naming the symbols that the model never saw.
        """
        changes = {} if encoding is None else {"data.encoding": encoding}
        data = resolve([("encoding", changes)], Settings(data=self.data)).data
        return read([str(file) for file in files], data, self.vocabulary, unknown)

    def _as_read(self, text: str | bytes, ids: Ids, unknown: Unknown) -> bytes:
        """What stands for a text: as it was given, or what is left of it."""
        if unknown == "skip":
            return self.vocabulary.decode(ids)
        if isinstance(text, str):
            return text.encode(errors="replace")
        return text.removeprefix(codecs.BOM_UTF8)

    def _begin(self, ids: Ids) -> tuple[Array, Ids]:
        """How a text is begun.

        Returns:
            The log probabilities of the symbols that nothing is read before, (0,) or (1,); and the
            ids to read, of which the first is not predicted.
        """
        if self.model.separator is not None:
            return np.zeros(0), np.concatenate([[self.model.separator], ids])
        total = int(self.counts.sum())
        return np.log(np.maximum(self.counts[ids[:1]], UNSEEN) / total), ids

    def _lines(self, lines: Iterable[str | bytes], unknown: Unknown) -> Iterator[Ids]:
        """The ids of each line, with its end if the model is one of a list."""
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
    """A model that samples, scores and shows its states; ``grucli.load`` makes one of a run."""

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
        """A text like the training text; arguments and errors as of ``stream``."""
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
        """A text like the training text, as it is made.

        A model of a list makes one document, without the line end after it.

        Args:
            length: symbols to make: characters, or bytes of a model of bytes.
            prompt: a text to continue.
            temperature: below 1 keeps to likely symbols, above 1 is more varied, 0 takes the
                most probable one each time.
            top_k: choose among the k most probable symbols only.
            top_p: choose among the fewest symbols whose probabilities reach p together.
            seed: makes the text repeatable; None draws one.
            stop: texts that end the sample; the one that does is not part of it.
            unknown: "error", or "skip" to leave symbols of the prompt out that it never saw.
            echo: whether the prompt comes first.

        Raises:
            ArgumentError: a number is out of its range, or a stop text cannot be used.
            UnknownCharacterError: naming the symbols of the prompt that it never saw.
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
        """Several samples of one prompt, made side by side when they are asked for.

        Iterate over the result for whole samples with the log probability of each symbol, or
        over its ``pieces()`` for texts as they are made. Sample i draws from a random stream of
        its own: it does not depend on ``count``, and sample 0 is that of ``sample``. The result
        knows the seed. ``count`` is how many; other arguments and errors as of ``stream``.
        """
        check_stops(stop)
        ids = self.encode(prompt, unknown=unknown)
        stops = [text.encode(errors="replace") for text in stop]
        return Samples(
            model=self.model,
            vocabulary=self.vocabulary,
            counts=self.counts,
            prompt=ids,
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
        """The ids of one sample without its prompt, (length,); documents follow one another.

        It raises ``Stopped`` if ``stop``, which is asked at each symbol, says so; other arguments
        and errors as of ``stream``.
        """
        return sample_ids(
            self.model,
            self.counts,
            self.encode(prompt),
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

    def score(self, text: str | bytes, *, unknown: Unknown = "error") -> TextScore:
        """How well each symbol of a text is predicted from all before it.

        Args:
            text: a string, or bytes.
            unknown: "error", or "skip" to score the text without symbols that it never saw.

        Raises:
            UnknownCharacterError: naming the symbols that it never saw.
            CorpusError: bytes that are not UTF-8, for a model of characters.
        """
        ids = self.encode(text, unknown=unknown)
        data = self._as_read(text, ids, unknown)
        symbols = data if self.vocabulary.level == "byte" else data.decode()
        first, after = self._begin(ids)
        rest = [log_probs[:, 0] for log_probs in log_probs_side_by_side(self.model, [after])]
        return TextScore(symbols, np.concatenate([first, *rest], dtype=np.float64))

    def score_lines(
        self, lines: Iterable[str | bytes], *, unknown: Unknown = "error"
    ) -> npt.NDArray[np.float64]:
        """Nats of each line by itself, (N,), much faster than one by one.

        Args:
            lines: N lines. A model of a list predicts the end of each as well: it adds a line end
                where a line has none.
            unknown: as of ``score``, as all errors.
        """
        texts, nats = self._lines(lines, unknown), [np.zeros(0)]
        while begun := list(map(self._begin, islice(texts, SORTED))):
            first = [log_probs.sum() for log_probs, _ in begun]
            nats.append(nats_of(self.model, [ids for _, ids in begun]) - first)
        return np.concatenate(nats)

    def evaluate(
        self,
        text: str | bytes | Ids,
        *,
        begins: bool = True,
        workers: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Score:
        """Sums over a long text; only a model of a list predicts its first symbol.

        Args:
            text: a text, or its ids (N,), in memory or mapped from a file.
            begins: False for a part of a longer text: no separator is read before it.
            workers: threads that share the work; None takes all cores.
            stop: asked again and again whether to give up.

        Raises:
            CorpusError: there is nothing to predict.
            Stopped: ``stop`` has said so.
        """
        ids = self.encode(text) if isinstance(text, str | bytes) else text
        first = self.model.separator if begins else None
        if len(ids) < (2 if first is None else 1):
            raise CorpusError(
                f"the model knows {len(ids)} of its characters; it takes one to read and one to "
                "predict"
            )
        cores = available_cores() if workers is None else workers
        return evaluation.evaluate(self.model, ids, cores, stop, first=first)

    # ---- states

    def states(
        self, text: str | bytes, *, layer: int = 1, unknown: Unknown = "error"
    ) -> dict[str, Array]:
        """What a layer computes while a text is read, from the zero state.

        Args:
            text: a string, or bytes.
            layer: from 1.
            unknown: as of ``score``.

        Returns:
            Arrays (T, H) for T symbols by their names in the equations: parts of the state
            ("h"; "c" of an LSTM), gates ("z", "r", "n" of a GRU; "i", "f", "o", "g" of an LSTM),
            and "u" of an LSTM, or of a GRU whose reset gate acts after the product.

        Raises:
            ArgumentError: there is no such layer; other errors as of ``score``.
        """
        if not 1 <= layer <= self.model.L:
            raise ArgumentError("layer", f"must be from 1 to {self.model.L}, not {layer}")
        ids = self.encode(text, unknown=unknown)
        if self.model.separator is None:
            return _states(self.model, ids, layer)
        begun = np.concatenate([[self.model.separator], ids])
        return {name: array[1:] for name, array in _states(self.model, begun, layer).items()}


def _decoded(samples: Samples, prompt: bytes) -> Iterator[str]:
    """The prompt and a sample as text, whole characters at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = (piece.data for piece in samples.pieces())
    for data in chain([prompt], pieces):
        if text := decoder.decode(data):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _states(model: Model, ids: Ids, layer: int) -> dict[str, Array]:
    """What a layer computes while ids (T,) are read from the zero state, each (T, H)."""
    cell, state = CELLS[model.cell], model.zero_state(1)
    names = (*cell.STATE, *cell.GATES, *cell.SAVED)
    workspace = model.workspace(WINDOW, 1)
    windows = [np.zeros((len(names), 0, model.H), state.dtype)]
    for lo in range(0, len(ids), WINDOW):
        x = ids[lo : lo + WINDOW, None]
        used = workspace.first(len(x))
        _, state = model.run(x, state, used)
        cache = used.caches[layer - 1]
        windows.append(np.concatenate([cache.states[:, 1:], cache.a, cache.saved])[:, :, 0])
    arrays = np.concatenate(windows, axis=1)
    return {name: array for name, array in zip(names, arrays, strict=True) if name}
