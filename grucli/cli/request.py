"""What the words of ``grucli train`` ask for: settings and a session."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grucli.cli import render
from grucli.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from grucli.config import Settings, Values
    from grucli.data.vocabulary import Unknown
    from grucli.training.session import Session


@dataclass
class Request:
    """The words of the command line."""

    corpus: list[str]
    config: Path | None
    sets: list[str]
    flags: "Values"
    resume: Path | None = None
    init_from: Path | None = None
    unknown: "Unknown" = "error"
    extend_vocabulary: bool = False
    decided: "Values" = field(default_factory=dict)  # by the program, whatever the words say

    def overrides(self) -> "Values":
        """What --set and the flags say."""
        from grucli.config import parse_override

        values: Values = {}
        for text in self.sets:
            values |= parse_override(render.typed(text))
        twice = [key for key in self.flags if key in values]
        if twice:
            raise SettingsError(f"{twice[0]} is given by --set and by a flag; keep one")
        return values | self.flags | self.decided

    def with_values(self, values: "Values") -> "Request":
        """The same words, and these values on top of them."""
        return replace(self, decided=values)

    def layers(self) -> "list[tuple[str, Values]]":
        """What was set, and where."""
        from grucli.config import read_file

        file = [(str(self.config), read_file(self.config))] if self.config else []
        return [*file, ("command line", self.overrides())]

    def settings(self) -> "Settings":
        """Resolved settings."""
        from grucli.config import resolve

        return resolve(self.layers())

    def session(self) -> "Session":
        """Read the corpus and all that goes with it; nothing is written.

        Raises:
            UsageError: words that contradict each other, or something that cannot be done.
        """
        from grucli.training import session

        if self.resume is not None and self.init_from is not None:
            raise UsageError("--resume goes on with a run, --init-from starts a new one; keep one")
        if self.init_from is None and (self.extend_vocabulary or self.unknown != "error"):
            raise UsageError("--unknown and --extend-vocabulary belong to --init-from")
        layers, overrides = self.layers(), self.overrides()
        if self.resume is not None:
            return session.resumed(self.resume, layers, overrides, self.corpus)
        if not self.corpus:
            raise UsageError(
                "name a text to train on: grucli train FILE; "
                "`grucli corpus python-reference` makes one to try"
            )
        if self.init_from is None:
            return session.new(self.corpus, layers, overrides)
        origin = session.Origin(self.init_from, self.unknown, self.extend_vocabulary)
        return session.from_weights(origin, self.corpus, layers, overrides)
