"""What the words of ``grucli train`` ask for: settings, a corpus, and a state to start from."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grucli.cli import render
from grucli.errors import SettingsError, UnknownCharacterError, UsageError

if TYPE_CHECKING:
    from grucli.checkpoint import Checkpoint
    from grucli.config import Settings, Values
    from grucli.corpus import Corpus
    from grucli.plan import Plan
    from grucli.runs import RunDirectory
    from grucli.vocabulary import Unknown


@dataclass
class Session:
    """A run that is ready to start or to go on."""

    plan: "Plan"
    checkpoint: "Checkpoint"
    overrides: "Values"
    run: "RunDirectory | None" = None  # None for a run that has no directory yet
    suited: "Values" = field(default_factory=dict)  # what was chosen to suit the corpus
    init_from: "Path | None" = None  # the run or the checkpoint whose weights it starts from
    fallen_back_to: "Path | None" = None  # the checkpoint gone on from if the last is damaged


@dataclass
class Request:
    """The words of the command line."""

    corpus: list[str]
    config: Path | None
    sets: list[str]
    flags: "Values"
    resume: Path | None
    init_from: Path | None
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

    def settings(self, base: "Settings | None" = None) -> "Settings":
        """Resolved settings on top of ``base``."""
        from grucli.config import resolve

        return resolve(self.layers(), base)

    def session(self) -> Session:
        """Read the corpus and all that goes with it; nothing is written."""
        if self.resume is not None and self.init_from is not None:
            raise UsageError("--resume goes on with a run, --init-from starts a new one; keep one")
        if self.init_from is None and (self.extend_vocabulary or self.unknown != "error"):
            raise UsageError("--unknown and --extend-vocabulary belong to --init-from")
        if self.resume is not None:
            return self._resumed(self.resume)
        if not self.corpus:
            raise UsageError(
                "name a text to train on: grucli train FILE; "
                "`grucli corpus python-reference` makes one to try"
            )
        return self._new() if self.init_from is None else self._from_weights(self.init_from)

    def _new(self) -> Session:
        from grucli.config import resolve
        from grucli.corpus import read
        from grucli.defaults import suited
        from grucli.plan import make_plan, start

        layers = self.layers()
        text = read(self.corpus, resolve(layers).data)
        values = suited(len(text.ids), [key for _, given in layers for key in given])
        plan = make_plan(resolve([("suited to the text", values), *layers]), text)
        return Session(plan, start(plan), self.overrides(), suited=values)

    def _from_weights(self, path: Path) -> Session:
        from grucli.config import Data, Settings
        from grucli.plan import make_plan, start
        from grucli.runs import open_checkpoint

        if self.extend_vocabulary and self.unknown != "error":
            raise UsageError("--unknown skip and --extend-vocabulary are both given; keep one")
        _, old = open_checkpoint(path)
        data = old.settings.data
        kept = Data(level=data.level, min_count=data.min_count, documents=data.documents)
        settings = self.settings(Settings(model=old.settings.model, data=kept))
        fixed = {f"model.{key}" for key in ("cell", "reset", "hidden", "layers")} | {"data.level"}
        if data.min_count > 1 or not self.extend_vocabulary:
            fixed.add("data.min_count")
        _refuse(old.settings, settings, fixed, f"{path} was trained with")
        text = self._text_for(old, settings)
        if text.skipped:
            render.warn(f"{text.skipped:,} characters that {path} does not know are left out")
        new = len(text.vocabulary) - len(old.vocabulary)
        if self.extend_vocabulary:
            render.say(f"{new:,} characters are new to {path} and learned from the start")
        if settings.data.documents != data.documents:
            now, before = (one or "null" for one in (settings.data.documents, data.documents))
            render.warn(f"data.documents is {now} here and was {before} for {path}")
        plan = make_plan(settings, text)
        return Session(plan, start(plan, old), self.overrides(), init_from=path)

    def _text_for(self, old: "Checkpoint", settings: "Settings") -> "Corpus":
        """The corpus in the vocabulary of other weights, extended if so asked."""
        from grucli.corpus import read

        try:
            return read(
                self.corpus,
                settings.data,
                old.vocabulary,
                self.unknown,
                extend=self.extend_vocabulary,
            )
        except UnknownCharacterError as error:
            raise UnknownCharacterError(
                f"{', '.join(self.corpus)}: {error}; --init-from keeps the vocabulary of "
                f"{self.init_from}: --unknown skip leaves these out of the text, "
                "--extend-vocabulary learns them"
            ) from None

    def _resumed(self, path: Path) -> Session:
        from grucli.config import RESUMABLE, flatten
        from grucli.corpus import read
        from grucli.plan import make_plan, resume
        from grucli.runs import RunDirectory, find_checkpoint, is_run

        if not path.is_dir() or not is_run(path):
            find_checkpoint(path, "last")  # says what is wrong with the path
            raise UsageError(
                f"{path}: --resume takes a run directory and goes on from its last checkpoint; "
                "--init-from starts a new run from any checkpoint"
            )
        run = RunDirectory(path)
        file, old, problem = run.last_sound()
        if problem is not None:
            render.warn(f"{problem}; going on from {file.name}, the newest sound one")
        settings = self.settings(old.settings)
        _refuse(
            old.settings, settings, set(flatten(settings)) - RESUMABLE, "the run was begun with"
        )
        sources = self.corpus or run.sources
        if "-" in sources and not self.corpus:
            again = " ".join(map(render.quote, sources))
            raise UsageError(
                f"{run.path} was trained on standard input; give the same text again: "
                f"grucli train {again} --resume {render.quote(str(path))} < TEXT"
            )
        text = read(sources, settings.data, old.vocabulary, old.unknown)
        plan = make_plan(settings, text)
        if settings.train.minutes is not None and old.progress.seconds is None:
            old.progress.seconds = run.info.elapsed_s or 0.0
        _warn_of_changes(run, plan)
        fallen_back_to = None if problem is None else file
        checkpoint = resume(plan, old, done=run.info.status == "done")
        return Session(plan, checkpoint, self.overrides(), run, fallen_back_to=fallen_back_to)


def _warn_of_changes(run: "RunDirectory", plan: "Plan") -> None:
    """Name what may change the last bits of results from here on."""
    from grucli.plan import describe

    now, before = describe(plan), run.info
    changes = [
        f"{name} was {old} and is {new}"
        for name, old, new in [
            ("the number of workers", before.workers, now["workers"]),
            *(
                (name, before.versions.get(name), version)
                for name, version in now["versions"].items()
            ),
        ]
        if old is not None and old != new
    ]
    if changes:
        render.warn(
            f"{'; '.join(changes)}: the run goes on, though not to the very bits it would have "
            "reached without the change"
        )


def _refuse(old: "Settings", new: "Settings", fixed: set[str], words: str) -> None:
    """Name every setting that would have to stay as it was."""
    from grucli.config import changed_keys, flatten

    before, after = flatten(old), flatten(new)
    problems = [
        f"{key}: {words} {before[key]!r}; it cannot become {after[key]!r}"
        for key in changed_keys(old, new)
        if key in fixed
    ]
    if problems:
        raise SettingsError("\n".join(problems))
