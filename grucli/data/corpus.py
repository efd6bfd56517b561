"""From text files to ids.

A text is read once, in chunks, as provisional ids, which number the symbols in the order of their
first appearance. At the end they are renumbered in the order of the sorted symbols. So the text is
never in memory as a whole, and the ids have the smallest type that fits. Those of a long text go to
a file (``cache``).
"""

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import HELD_OUT, Data
from grucli.data import cache
from grucli.data.decoding import FileType, not_a_text, recognized, symbols_of
from grucli.data.documents import LINE_END, end_of
from grucli.data.text_files import (
    STANDARD_INPUT,
    Digest,
    can_be_read_again,
    digest,
    expand,
    size_on_disk,
)
from grucli.data.vocabulary import UNK, Unknown, Vocabulary, smallest_unsigned
from grucli.errors import CorpusError, UnknownCharacterError
from grucli.nn.params import Ids, Indices

CODE_POINTS = 0x110000  # Unicode code points are below this number


@dataclass(frozen=True)
class TextId:
    """The identity of a text; of equal ones, the same bytes were read as as many symbols."""

    sha256: str  # of the bytes of all files in order, decompressed
    chars: int  # symbols that were read: characters, or bytes
    skipped: int = field(default=0, compare=False)  # symbols left out: the vocabulary lacks them
    bytes: int | None = field(default=None, compare=False)  # their number; None in a checkpoint
    held_out: Mapping[str, "TextId"] = field(default_factory=dict)  # val, test: if no parts of it

    @property
    def is_known(self) -> bool:
        """Whether there is a text; there is none of a model whose weights alone were imported."""
        return bool(self.sha256)


@dataclass(frozen=True)
class Corpus:
    r"""A text as ids."""

    ids: Ids  # (N,), in the smallest unsigned type that fits the vocabulary
    vocabulary: Vocabulary  # the symbols that the ids stand for
    sources: tuple[str, ...]  # the files and directories that were given
    text_id: TextId
    files: int = 1  # number of files
    not_text: tuple[tuple[str, str], ...] = ()  # files that are not text, and what they are
    repeated: tuple[tuple[str, str], ...] = ()  # files like an earlier file, each with that file
    rare: int = 0  # number of symbols that were read as the unknown one
    unified: int = 0  # number of line ends that were read as \n and are \r\n or \r in the files
    cached_ids: Path | None = None  # the file from which the ids are mapped, if they are
    held_out: Mapping[str, "Corpus"] = field(default_factory=dict)  # as in ``text_id``


def all_of(text: Any) -> list[Any]:
    """What is known of a text, and the same of the texts that are held out."""
    return [text, *text.held_out.values()]


def read(
    sources: Sequence[str],
    data: Data,
    vocabulary: Vocabulary | None = None,
    unknown: Unknown = "error",
    *,
    extend: bool = False,
) -> Corpus:
    """Read files and directories as one text; files may be ``.gz``, and ``-`` is standard input.

    The symbols are those of the text, or of ``vocabulary``; those that it lacks are an error, are
    skipped, or are added to it if ``extend`` is true.
    """
    files, not_text = texts_of(sources, data)
    reading = _Reading(data, vocabulary, unknown, extend)
    encoded = None
    if size_on_disk(files) > cache.IN_MEMORY:
        text = digest(files)
        encoded = reading.from_cache(text)
    if encoded is None:
        text = Digest(files)
        with cache.TemporaryIds() as provisional:
            try:
                encoded = reading.read(text, sources, provisional)
            except UnknownCharacterError as error:
                raise UnknownCharacterError(f"{', '.join(sources)}: {error}") from None
    facts = encoded.facts
    return Corpus(
        ids=encoded.ids,
        vocabulary=Vocabulary(facts["symbols"], data),
        # a pipe, as of ``<(command)``, is gone when it has been read
        sources=tuple(STANDARD_INPUT if Path(one).is_fifo() else one for one in sources),
        text_id=TextId(text.sha256, len(encoded.ids), facts["skipped"], sum(text.sizes)),
        files=len(files),
        not_text=tuple((file, kind.name) for file, kind in not_text.items()),
        repeated=tuple(text.repeated),
        rare=facts["rare"],
        unified=facts["unified"],
        cached_ids=encoded.file,
    )


def read_texts(
    sources: Sequence[str],
    data: Data,
    vocabulary: Vocabulary | None = None,
    unknown: Unknown = "error",
    *,
    extend: bool = False,
) -> Corpus:
    """Read the training text, and the held-out files that ``data`` names, in one vocabulary.

    It has the symbols of held-out files alone, too, unless the caller gives or skips them.
    """
    _check_apart({"training": sources} | {HELD_OUT[name]: one for name, one in data.files.items()})
    for file in expand([file for files in data.files.values() for file in files]):
        if os.path.exists(file) and not can_be_read_again(file):
            raise CorpusError(f"{file}: can be read only once; a held-out text must be a file")
    if data.files and unknown == "error" and (extend or vocabulary is None):
        for files in data.files.values():
            vocabulary = read(files, data, vocabulary, extend=True).vocabulary
        extend = True
    text = read(sources, data, vocabulary, unknown if vocabulary else "error", extend=extend)
    held_out = data.files.items()
    texts = {name: read(one, data, text.vocabulary, unknown) for name, one in held_out}
    return with_held_out(text, texts)


def read_again(
    sources: Sequence[str], data: Data, vocabulary: Vocabulary, text_id: TextId, changed: str
) -> Corpus:
    """Read texts of a run as before. A CorpusError says which has ``changed``, in these words."""
    held_out = {
        name: read_again(data.files[name], data, vocabulary, one, changed)
        for name, one in text_id.held_out.items()
    }
    try:
        text = read(sources, data, vocabulary, "skip" if text_id.skipped else "error")
    except UnknownCharacterError as error:
        raise CorpusError(f"{error}; {changed}") from None
    text = with_held_out(text, held_out)
    if text.text_id == text_id:
        return text
    raise CorpusError(f"{', '.join(sources)}: {changed}")


def hashes(text: Any) -> str:
    """The hashes in what is known of a text, and of the texts that are held out."""
    return " ".join(str(one.sha256) for one in all_of(text))


def with_held_out(text: Corpus, held_out: Mapping[str, Corpus]) -> Corpus:
    """A training text with those that are held out; none may be too short."""
    for one in held_out.values():
        if len(one.ids) < 2:
            problem = f"too short, without a {one.vocabulary.noun} to predict; give a longer text"
            if skipped := one.text_id.skipped:
                problem += f" ({skipped:,} that the model does not know were left out)"
            raise CorpusError(f"{', '.join(one.sources)}: {problem}")
    ids = {name: one.text_id for name, one in held_out.items()}
    return replace(text, held_out=held_out, text_id=replace(text.text_id, held_out=ids))


def _check_apart(texts: Mapping[str, Sequence[str]]) -> None:
    """Refuse a file that is in two of the texts, such as in a directory."""
    uses: dict[str, str] = {}
    for use, sources in texts.items() if len(texts) > 1 else ():
        for file in expand(sources):
            if (other := uses.setdefault(os.path.realpath(file), use)) != use:
                problem = f"is in the {other} text and in the {use} text; leave it out of one"
                raise CorpusError(f"{file}: {problem}")


def texts_of(named: Sequence[str], data: Data) -> tuple[Sequence[str], dict[str, FileType]]:
    """The files to read, and the files that are not text, which the user must not have named."""
    if not named:
        raise CorpusError("no text is named; name a file or a directory")
    files = expand(named)
    types = recognized(files, data.encoding)
    if data.level == "byte":
        return files, types
    for file in named:
        if file in types:
            raise not_a_text(file, types[file])
    texts = [file for file in files if file not in types]
    if not texts:
        raise CorpusError(
            f"{', '.join(named)}: none of the {len(types):,} files here is text; the first is "
            f"{next(iter(types.values())).name}"
        )
    return texts, types


@dataclass
class _Reading:
    """One way to read a text, which decides on its ids and on the name of its cache entry."""

    data: Data
    preset: Vocabulary | None  # the vocabulary to use instead of the symbols of the text
    unknown: Unknown
    extend: bool

    def from_cache(self, text: Digest) -> cache.Encoded | None:
        """The ids of a text that was read in this way before, or None."""
        entry = self._entry(text, None)
        if entry is None and (self.preset is None or self.extend):
            return None  # the symbols of the text are not known
        own = None if entry is None else Vocabulary(entry.facts["symbols"], self.data)
        vocabulary = self._vocabulary(own)
        return entry if own and self._is_own(vocabulary, own) else self._entry(text, vocabulary)

    def _entry(self, text: Digest, vocabulary: Vocabulary | None) -> cache.Encoded | None:
        """A cache entry that begins as the text does; to compare the rest would be to encode it."""
        entry = cache.find(self._name(text, vocabulary))
        if entry is None:
            return None
        _, points, _ = next(symbols_of(text.files[0], self.data))
        unknown: Unknown = "error" if vocabulary is None else self.unknown
        try:
            ids = Vocabulary(entry.facts["symbols"], self.data).find(points, unknown)
        except UnknownCharacterError:
            return None
        ids = ids[ids >= 0]
        return entry if np.array_equal(ids, entry.ids[: len(ids)]) else None

    def read(
        self, text: Digest, named: Sequence[str], provisional: cache.TemporaryIds
    ) -> cache.Encoded:
        """Read the files of a text; an empty file is an error if the user has named it."""
        numbering = _Numbering(provisional)
        for file in text.files:
            before = numbering.count
            if self.data.documents == "line" and numbering.last not in (None, LINE_END):
                numbering.add(np.array([LINE_END], np.uint32))  # the end of a file ends a document
                before += 1
            text.begin_file()
            for raw, points, unified in symbols_of(file, self.data):
                text.update(raw)
                numbering.add(points)
                numbering.unified += unified
            if numbering.count == before and file in named:
                what = "the file holds no text" if text.sizes[-1] else "the file is empty"
                raise CorpusError(f"{file}: {what}; give a text to read")
        if not numbering.count:
            raise CorpusError(f"{', '.join(named)}: there is no text in these files")
        return self._encoded(text, numbering)

    def _encoded(self, text: Digest, numbering: "_Numbering") -> cache.Encoded:
        own = numbering.own_vocabulary(self.data)
        vocabulary = self._vocabulary(own)
        if vocabulary is None:
            raise CorpusError(
                f"data.min_count={self.data.min_count} leaves none of the "
                f"{len(numbering.counts):,} different characters: the most frequent occurs "
                f"{numbering.counts.max():,} times; set a lower data.min_count"
            )
        # the final id of each provisional one; -1 for symbols to skip
        table = vocabulary.find(np.array(numbering.symbols, np.uint32), self.unknown)
        rare = table == (-2 if vocabulary.unknown_id is None else vocabulary.unknown_id)
        skipped = int(numbering.counts[table < 0].sum())
        facts = {
            "symbols": vocabulary.symbols.tolist(),
            "skipped": skipped,
            "rare": int(numbering.counts[rare].sum()),
            "unified": numbering.unified,
        }
        dtype, count = smallest_unsigned(len(vocabulary)), numbering.count - skipped
        chunks = partial(numbering.chunks, table, dtype)
        if count * dtype.itemsize <= cache.IN_MEMORY:
            return cache.Encoded(np.concatenate([np.empty(0, dtype), *chunks()]), facts)
        name = self._name(text, None if self._is_own(vocabulary, own) else vocabulary)
        return cache.store(name, chunks, facts)

    def _vocabulary(self, own: Vocabulary | None) -> Vocabulary | None:
        """The vocabulary of the ids; ``own`` has the text's own symbols."""
        if own is None and self.extend:
            own = Vocabulary([UNK], self.data)  # all its symbols are rare
        if self.preset is None:
            return own
        if own is None or not self.extend:
            return self.preset
        return Vocabulary(np.union1d(self.preset.symbols, own.symbols), self.data)

    def _is_own(self, vocabulary: Vocabulary | None, own: Vocabulary | None) -> bool:
        """Whether the ids are the same as without a preset vocabulary."""
        everything = vocabulary is None or vocabulary.unknown_id is None
        return vocabulary == own and (self.unknown == "error" or everything)

    def _name(self, text: Digest, vocabulary: Vocabulary | None) -> str:
        """The name of the cache entry; None stands for the vocabulary of the text's own symbols."""
        data = self.data
        documents = data.documents if data.separator is None else [data.separator]
        how: list[object] = [data.level, data.min_count, documents, text.sizes[1:]]
        if data.level == "char":
            how += [codecs.lookup(data.encoding).name, data.newlines]
        if vocabulary is not None:
            how += [vocabulary.symbols.tolist(), vocabulary.unknown_id, self.unknown]
        return cache.entry_name(text.sha256, how)


class _Numbering:
    """Gives each new symbol the next number as its provisional id; renumbers all at the end."""

    def __init__(self, provisional: cache.TemporaryIds) -> None:
        self.provisional = provisional
        self.number_of = np.full(CODE_POINTS, -1, np.int32)
        self.symbols: list[int] = []
        self.counts = np.zeros(0, np.int64)  # how often each of them occurs
        self.lengths: list[tuple[np.dtype[Any], int]] = []  # type and length of each chunk
        self.last: int | None = None  # the last symbol read
        self.unified = 0  # line ends that were read as \n

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def add(self, points: Ids) -> None:
        numbers = self.number_of[points]
        if numbers.size and numbers.min() < 0:
            for point in np.unique(points[numbers < 0]).tolist():
                self.number_of[point] = len(self.symbols)
                self.symbols.append(point)
            numbers = self.number_of[points]
        counts = np.bincount(numbers, minlength=len(self.symbols))
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        chunk = numbers.astype(smallest_unsigned(len(self.symbols)))
        try:
            self.provisional.write(chunk.tobytes())
        except OSError as error:
            raise cache.cannot_store(error) from None
        self.lengths.append((chunk.dtype, len(chunk)))
        self.last = int(points[-1]) if len(points) else self.last

    def own_vocabulary(self, data: Data) -> Vocabulary | None:
        """The frequent symbols, and one symbol for the rare ones; None if all are rare."""
        symbols = np.array(self.symbols, np.uint32)
        enough = self.counts >= data.min_count
        if data.document:
            enough |= symbols == end_of(data)  # even if there are few documents
        frequent = symbols[enough]
        if not len(frequent):
            return None
        if len(frequent) < len(symbols):
            frequent = np.append(frequent, np.uint32(UNK))
        return Vocabulary(np.unique(frequent), data)

    def chunks(self, table: Indices, dtype: np.dtype[Any]) -> Iterator[Ids]:
        """The text in final ids, chunk by chunk."""
        final = table.astype(dtype)  # wrong for symbols to skip, which are removed below
        skipped = table < 0
        self.provisional.seek(0)
        for stored, length in self.lengths:
            numbers = np.frombuffer(self.provisional.read(length * stored.itemsize), stored)
            chunk = final[numbers]
            yield chunk[~skipped[numbers]] if skipped.any() else chunk
