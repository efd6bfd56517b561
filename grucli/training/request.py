"""What a person asks for: a new run, or that a run goes on."""

import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import ConfigDict, SkipValidation, with_config
from typing_extensions import TypedDict

from grucli.arguments import PathLike, file_names, plain
from grucli.config import Data, Settings, Values, read_file, resolve
from grucli.data.decoding import is_utf8
from grucli.data.documents import END
from grucli.data.vocabulary import Unknown
from grucli.errors import ArgumentError, GrucliError, SettingsError, UsageError
from grucli.training.processes import check_not_imported_by_a_worker

Layers = Sequence[tuple[str, Values]]  # origins of settings, and values; later layers have priority

# options of `train` that are settings
KEYS = {name: f"train.{name}" for name in ("seed", "steps", "epochs", "minutes")}
KEYS |= {"val": "data.val", "test": "data.test"}
PATHS = ("config", "runs_dir", "resume", "init_from")  # and paths

SETTINGS, COMMAND_LINE = "settings", "command line"  # where options come from
TWICE = {SETTINGS: "settings and by an argument", COMMAND_LINE: "--set and by a flag"}

ENDS = {"text": "", "lines": "\n", "texts": END}  # what the file has after each of them
READ_AS: dict[str, Values] = {
    "lines": {"data.documents": "line", "data.separator": None},
    "texts": {"data.documents": None, "data.separator": END},
}
"""How they are read, unless the settings ask for documents of another kind."""


@with_config(ConfigDict(extra="forbid"))
class TrainOptions(TypedDict, total=False):
    """The options of ``train``. One that is left out is None, False or its first choice."""

    text: Annotated[str, SkipValidation] | None  # the text to train on, instead of files
    lines: Annotated[Iterable[str], SkipValidation] | None  # its lines, each of which is a document
    texts: Annotated[Iterable[str], SkipValidation] | None  # its documents
    val: float | PathLike | Sequence[PathLike] | None  # a fraction of the text, or files
    test: float | PathLike | Sequence[PathLike] | None
    minutes: float | None  # the training budget as time, in minutes
    epochs: float | None  # the training budget as passes over the text
    steps: int | None  # the training budget as a number of updates
    seed: int | None
    settings: Mapping[str, Any] | None  # values by dotted key
    config: PathLike | None  # a settings file; `settings` have priority over it
    name: str | None  # suffix of the run directory's name; None takes the name of the text
    runs_dir: PathLike | None  # the directory for the new run directory; None means `runs`
    resume: PathLike | None  # a run to resume
    init_from: PathLike | None  # a run or a checkpoint whose weights a new run starts from
    unknown: Unknown  # whether characters that these weights do not know are an error or left out
    extend_vocabulary: bool  # whether such characters are added to the vocabulary
    mpi: bool  # whether all processes of mpiexec train this run


@dataclass(frozen=True)
class GivenText:
    """A text, or an iterable of lines or of texts."""

    kind: str  # text, lines or texts
    value: Any

    def settings(self, data: Data) -> Values:
        """The settings that the text needs besides those that are given."""
        if data.level == "char" and not is_utf8(data.encoding):
            raise SettingsError(f"data.encoding={data.encoding} is for files; leave it out")
        if self.kind == "texts" and data.documents == "line":
            raise SettingsError("data.documents=line: give lines instead of texts")
        return READ_AS.get(self.kind, {}) if data.document is None else {}

    @contextmanager
    def in_file(self) -> Iterator[str]:
        """A temporary file that holds the text, in UTF-8."""
        texts = [self.value] if self.kind == "text" else self.value
        listed = isinstance(texts, Iterable) and getattr(texts, "ndim", 1) == 1
        if isinstance(texts, str | bytes) or not listed:
            problem = f"must be a list of strings, not {reprlib.repr(texts)}"
            raise ArgumentError(self.kind, f"{problem}; a single one is given as text")
        with TemporaryDirectory(prefix="grucli-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, f"{self.kind}.txt")
            with path.open("wb") as file:
                file.writelines(self._encoded(*one) for one in enumerate(texts, 1))
            if not path.stat().st_size:
                raise ArgumentError(self.kind, "holds no text; give one to train on")
            yield str(path)

    def _encoded(self, number: int, text: Any) -> bytes:
        if not isinstance(text, str):
            problem = "is not a string"
        elif self.kind == "lines" and ("\n" in text or "\r" in text):
            problem = "holds a line end"
        elif self.kind == "texts" and END in text:
            problem = "holds U+001E, which ends each of them"
        else:
            try:
                return (text + ENDS[self.kind]).encode()
            except UnicodeEncodeError:
                problem = "holds half of a surrogate pair, which no file can hold"
        one = "" if self.kind == "text" else f"number {number:,} "
        raise ArgumentError(self.kind, f"{one}{problem}: {reprlib.repr(text)}")


@dataclass(frozen=True)
class Request:
    """What a person asked for. Fields that ``TrainOptions`` has, too, are explained there."""

    sources: Sequence[str]  # files and directories, or one of them, read as one text
    config: Path | None = None
    values: Values = field(default_factory=dict)  # by dotted key, with priority over the file
    origin: str = SETTINGS  # where the values come from, for messages
    name: str | None = None
    runs_dir: Path | None = None
    resume: Path | None = None
    init_from: Path | None = None
    unknown: Unknown = "error"
    extend_vocabulary: bool = False
    mpi: bool = False
    command: str | None = None  # the command line, for run.json; None for a script
    given: GivenText | None = None  # the text, if it is no file
    study: str | None = None  # id of the study whose trial it is: no time in the directory's name

    def __post_init__(self) -> None:
        check_not_imported_by_a_worker()
        object.__setattr__(self, "sources", file_names(self.sources))

    @classmethod
    def of(
        cls,
        sources: Sequence[PathLike],
        options: TrainOptions,
        origin: str = SETTINGS,
        command: str | None = None,
    ) -> "Request":
        rest: dict[str, Any] = {name: one for name, one in options.items() if one is not None}
        given = [GivenText(kind, rest.pop(kind)) for kind in ENDS if kind in rest]
        names = [one.kind for one in given] + ["files"] * bool(sources)
        names += [name for name in ("resume", "mpi") if rest.get(name)]
        if given and len(names) > 1:
            raise UsageError(f"{' and '.join(names)} are given; keep one")
        rest["given"] = given[0] if given else None
        rest |= {name: Path(rest[name]) for name in PATHS if name in rest}
        values = dict(rest.pop("settings", {}))
        for name in filter(rest.__contains__, KEYS):
            if KEYS[name] in values:
                raise SettingsError(f"{KEYS[name]} is given by {TWICE[origin]}; keep one")
            values[KEYS[name]] = rest.pop(name)
        values = {key: _writable(value) for key, value in values.items()}
        return cls(file_names(sources), values=values, origin=origin, command=command, **rest)

    @contextmanager
    def with_files(self) -> Iterator["Request"]:
        """The request with a file that holds the text that was given as a value, while it lasts."""
        if self.given is None:
            yield self
            return
        values = self.values | self.given.settings(self.settings().data)
        with self.given.in_file() as path:
            try:
                yield replace(self, sources=[path], values=values)
            except GrucliError as error:
                if path not in str(error):
                    raise
                raise type(error)(str(error).replace(path, self.given.kind)) from None

    def layers(self) -> Layers:
        """The settings with their origins; later layers have priority."""
        file = [(str(self.config), read_file(self.config))] if self.config else []
        return [*file, (self.origin, self.values)]

    def settings(self) -> Settings:
        """Resolved settings, without those that depend on the text."""
        return resolve(self.layers())


def _writable(value: Any) -> Any:
    """A value as a settings file has it: without NumPy's numbers, tuples and paths."""
    if isinstance(value, list | tuple):
        return [_writable(one) for one in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else plain(value)
