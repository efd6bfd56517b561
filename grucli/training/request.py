"""What a person asks for: a new run, or that a run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from grucli.arguments import PathLike, file_names, plain
from grucli.config import Settings, Values, read_file, resolve
from grucli.data.vocabulary import Unknown
from grucli.errors import SettingsError
from grucli.training.processes import check_not_imported_by_a_worker

Layers = Sequence[tuple[str, Values]]  # origins of settings, and values; later layers have priority

NUMBERS = ("seed", "steps", "epochs", "minutes")  # settings of `train` with an option of their own

SETTINGS, COMMAND_LINE = "settings", "command line"  # where options come from
TWICE = {SETTINGS: "settings and by an argument", COMMAND_LINE: "--set and by a flag"}


@with_config(ConfigDict(extra="forbid"))
class TrainOptions(TypedDict, total=False):
    """The options of ``train``. One that is left out is None, False or its first choice."""

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
        """The request that the options of ``train`` make."""
        rest: dict[str, Any] = {**options}
        values = dict(rest.pop("settings", None) or {})
        for number in NUMBERS:
            value, key = rest.pop(number, None), f"train.{number}"
            if value is None:
                continue
            if key in values:
                raise SettingsError(f"{key} is given by {TWICE[origin]}; keep one")
            values[key] = value
        for path in ("config", "runs_dir", "resume", "init_from"):
            rest[path] = Path(rest[path]) if rest.get(path) is not None else None
        values = {key: plain(value) for key, value in values.items()}
        return cls(file_names(sources), values=values, origin=origin, command=command, **rest)

    def layers(self) -> Layers:
        """The settings with their origins; later layers have priority."""
        file = [(str(self.config), read_file(self.config))] if self.config else []
        return [*file, (self.origin, self.values)]

    def settings(self) -> Settings:
        """Resolved settings, without those that depend on the text."""
        return resolve(self.layers())
