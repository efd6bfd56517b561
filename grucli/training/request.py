"""The request for a run, from a command line, a script or a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from grucli.arguments import file_names
from grucli.config import Settings, Values, read_file, resolve
from grucli.data.corpus import Corpus
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import Unknown
from grucli.errors import UsageError
from grucli.training import session
from grucli.training.other_ranks import share_plan
from grucli.training.parallel import check_not_imported_by_a_worker, check_workers
from grucli.training.ranks import ALONE, Ranks
from grucli.training.session import Layers, Origin, Session


@dataclass(frozen=True)
class Request:
    """A request for a new or a resumed run.

    Attributes:
        sources: files and directories, or one of them, read as one text.
        config: a settings file.
        values: settings by dotted key, with priority over the file.
        place: the origin of the values, for messages.
        resume: a run to resume.
        init_from: a run or a checkpoint whose weights a new run starts from.
        unknown: whether characters that these weights do not know are an error or are left out.
        extend_vocabulary: whether such characters are added to the vocabulary.
        command: the command line, for run.json; None for a script.
        ranks: the ranks that train the run; this process is rank 0.
    """

    sources: Sequence[str]
    config: Path | None = None
    values: Values = field(default_factory=dict)
    place: str = "settings"
    resume: Path | None = None
    init_from: Path | None = None
    unknown: Unknown = "error"
    extend_vocabulary: bool = False
    command: str | None = None
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        """Keep the sources as a list of strings."""
        check_not_imported_by_a_worker()
        object.__setattr__(self, "sources", file_names(self.sources))

    def with_values(self, values: Values) -> "Request":
        """The same request, where these values have priority over all others."""
        return replace(self, values={**self.values, **values})

    def layers(self) -> Layers:
        """The settings with their origins; later layers have priority."""
        file = [(str(self.config), read_file(self.config))] if self.config else []
        return [*file, (self.place, self.values)]

    def settings(self) -> Settings:
        """Resolved settings, without those that depend on the text."""
        return resolve(self.layers())

    def session(self, text: Corpus | None = None) -> Session:
        """Read the text and prepare the run. No file is written.

        Args:
            text: the text of a new run, if it was already read with the same settings.

        Raises:
            UsageError: the request contradicts itself, or is not possible.
            RunError: this process cannot start the worker processes of the settings.
        """
        made = self._session(text)
        made.command, made.ranks = self.command, self.ranks
        try:
            check_workers(made.plan.workers)
            share_plan(made.plan, self.ranks)
        except BaseException:
            made.close()
            raise
        return made

    def _session(self, text: Corpus | None) -> Session:
        if self.resume is not None and self.init_from is not None:
            raise UsageError("--resume continues a run, --init-from starts a new one; keep one")
        if self.init_from is None and (self.extend_vocabulary or self.unknown != "error"):
            raise UsageError("--unknown and --extend-vocabulary can only be used with --init-from")
        if self.ranks.size > 1 and STANDARD_INPUT in self.sources:
            raise UsageError("only one rank has a standard input: give the text as a file")
        layers = self.layers()
        if self.resume is not None:
            return session.resumed(self.resume, layers, self.values, self.sources, self.ranks)
        if not self.sources:
            raise UsageError(
                "name a text to train on: grucli train FILE; "
                "`grucli corpus python-reference` makes one to try"
            )
        if self.init_from is None:
            return session.new(self.sources, layers, self.values, text, self.ranks)
        origin = Origin(self.init_from, self.unknown, self.extend_vocabulary)
        return session.from_weights(origin, self.sources, layers, self.values, self.ranks)
