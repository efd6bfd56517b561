"""A run that is ready: its files, its events, its status and its reports. It prints nothing."""

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from grucli.config import Values
from grucli.data.corpus import Corpus
from grucli.data.text_files import STANDARD_INPUT
from grucli.errors import CheckpointError, GrucliError, RunError, UsageError
from grucli.evaluation import Stopped
from grucli.run.checkpoint import Checkpoint
from grucli.run.conclusion import Conclusion, conclude_run, sentences
from grucli.run.records import KEPT_TEXT, LONGEST_COMMAND
from grucli.run.report import report
from grucli.run.run import Run
from grucli.run.writer import RunWriter
from grucli.training import advice
from grucli.training.events import Event, Finished, NotReported, Saved, Started
from grucli.training.plan import Plan, describe
from grucli.training.request import Request
from grucli.training.trainer import Trainer

# Exceptions that interrupt a run but are not errors.
STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)

# Largest share of the time of a run that its reports take; only the first and the last are always
# written. A report of a long run takes longer.
REPORTS_SHARE = 0.01


@dataclass
class Session:
    """A run that is ready to start or to continue. It must be closed; ``events`` does that."""

    request: Request
    plan: Plan
    make_state: Callable[[], Checkpoint]  # the state from which the run starts or continues
    file: Path | None = None  # the checkpoint file from which a resumed run continues
    run: RunWriter | None = None  # the locked run directory; None if the run is new
    suited: Values = field(default_factory=dict)  # settings chosen for the length of the text
    notes: list[str] = field(default_factory=list)  # for the user
    init_from: dict[str, Any] | None = None  # the weights from which the run starts, for run.json
    began: float = field(default_factory=time.perf_counter)  # training time counts from here
    conclusion: Conclusion | None = None  # of a run that has reached its end
    unreported: str = ""  # why the last report was not written, or is not complete
    report_due: float = 0.0  # time of the run from which the next report may be written

    def __post_init__(self) -> None:
        self.notes = [*advice.about_plan(self.plan), *self.notes]

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The state of the run. The first access makes it."""
        return self.make_state()

    def close(self) -> None:
        if self.run is not None:
            self.run.release()

    @contextmanager
    def trainer(self) -> Iterator[Trainer]:
        """Make a run directory, or reset it, and yield a trainer; at the end, note the status."""
        run = self.run = self._created() if self.run is None else self._reopened(self.run)
        try:
            elapsed = time.perf_counter() - self.began
            if self.checkpoint.progress.seconds is None:
                elapsed += run.info.elapsed_s or 0.0  # of earlier sessions; not in the checkpoint
            trainer = Trainer(self.plan, self.checkpoint, run, elapsed)
            with closing(trainer):
                yield trainer
                trainer.recorder.catch_up()
                run.update_info(status="done" if trainer.finished else "interrupted")
        except OSError as error:
            _note_status(run, "failed")
            raise RunError(_ended_by(run, error)) from error
        except BaseException as error:
            _note_status(run, "interrupted" if isinstance(error, STOPS) else "failed")
            raise

    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, bool]:
        """Train, and yield the events from ``Started`` to ``Finished``; return whether it is done.

        A caller that leaves the loop stops the run as ``stop`` does: it is saved.
        """
        left = False
        with closing(self):
            with self.trainer() as trainer:
                progress, ranks = trainer.checkpoint.progress, self.plan.ranks
                known = progress.step, progress.best_loss, trainer.estimate(), tuple(self.notes)
                yield Started(trainer.run.path, *known)
                events = trainer.train(lambda: left or ranks.signal != 0 or stop())
                for event in events:
                    try:
                        if isinstance(event, Saved):
                            yield from self._report_when_due(trainer)
                        yield event
                    except GeneratorExit:
                        left = True
                        for _ in events:
                            pass
                        raise
            problem = self._report_the_end(trainer)
        yield from self._tell(problem)
        yield Finished(Run(trainer.run.path), trainer.finished)
        return trainer.finished

    def _report_when_due(self, trainer: Trainer) -> Iterator[NotReported]:
        """Write a report, if ``REPORTS_SHARE`` allows it."""
        began = trainer.elapsed
        if began < self.report_due:
            return
        problem = _write_report(trainer.run)
        ended = trainer.elapsed
        self.report_due = ended + (ended - began) / REPORTS_SHARE
        yield from self._tell(problem)

    def _tell(self, problem: str) -> Iterator[NotReported]:
        """Tell once what is wrong with the report."""
        before, self.unreported = self.unreported, problem
        if problem not in ("", before):
            yield NotReported(problem)

    @np.errstate(all="ignore")
    def _report_the_end(self, trainer: Trainer) -> str:
        """Conclude a run that has reached its end, write the last report; return what is wrong."""
        run, text, said, problem = trainer.run, self.plan.corpus, list[str](), ""
        try:
            if trainer.finished:
                conclusion = conclude_run(run.path, text, trainer.stop)
                said = sentences(conclusion, self.plan.settings.data.noun)
                self.conclusion = conclusion
        except Stopped:
            pass
        except Exception as error:
            problem = f"{run.path}: nothing is concluded from this run: {_reason(error)}"
        finally:
            unwritten = _write_report(run, said, text if trainer.finished else None)
        return unwritten or problem

    def _created(self) -> RunWriter:
        request, plan = self.request, self.plan
        info = {
            "status": "running",
            **describe(plan, kept=bool(request.given)),
            "commands": self._commands([]),
            **({"init_from": self.init_from} if self.init_from else {}),
            **({"study": request.study} if request.study else {}),
            "step": 0,
            "best": {"step": None, "loss": None},
        }
        source, folder = plan.corpus.sources[0], request.runs_dir or Path("runs")
        title = Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]
        name = request.name or ("stdin" if source == STANDARD_INPUT else title)
        timed, text = request.study is None, Path(source) if request.given else None
        try:
            return RunWriter.create(
                folder, name, self.checkpoint, request.values, info, timed, text
            )
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot make a run directory here: {error.strerror or error}; "
                "choose another directory with --runs-dir"
            ) from None

    def _commands(self, before: Sequence[str]) -> list[str]:
        command = self.request.command
        return [*before, command[:LONGEST_COMMAND]] if command else list(before)

    def _reopened(self, run: RunWriter) -> RunWriter:
        """Reset the files of a run to the checkpoint from which it continues."""
        progress = self.checkpoint.progress
        try:
            run.make_ready()
            assert self.file is not None
            self.notes += run.checkpoints.mend_pointers(self.file, self.checkpoint)
            run.drop_after(progress.step)
            run.checkpoints.prune(self.plan.settings.train.keep)
            run.write_settings(self.plan.settings)
            commands = self._commands(run.info.commands)
            run.update_info(status="running", **described(self.plan, run), commands=commands)
        except OSError as error:
            raise UsageError(
                f"{error.filename or run.path}: cannot be written: {error.strerror or error}"
            ) from None
        return run


def described(plan: Plan, run: Run) -> dict[str, Any]:
    """What run.json of a run that exists says of a plan."""
    paths = [os.path.realpath(source) for source in plan.corpus.sources]
    return describe(plan, kept=paths == [str(run.path.resolve() / KEPT_TEXT)])


def _note_status(run: RunWriter, status: str) -> None:
    """Write a status, and ignore failures: the user must see the error that ended the run."""
    with contextlib.suppress(OSError, RunError, CheckpointError):
        run.update_info(status=status)
    _write_report(run)


def _ended_by(run: RunWriter, error: OSError) -> str:
    """What an error of the system means for a run: only its own files are written."""
    name, sources = str(error.filename or ""), []
    with contextlib.suppress(CheckpointError):
        sources = run.sources
    safe = f"the checkpoint of step {run.checkpoints.written['last'].step:,} is safe; after "
    safe += f"solving the problem, continue with: {run.resume_command(sources)}"
    problem = "the system ended the training" + f": {name}" * bool(name)
    if name.startswith(str(run.path)):
        problem = f"{name}: cannot be written"
    return f"{problem}: {error.strerror or error}; {safe}"


def _write_report(run: RunWriter, said: Sequence[str] = (), text: Corpus | None = None) -> str:
    """Write the report of a run, with a passage of its text if that is given; return problems."""
    try:
        made = report(run.path, said=said, passage=text is not None, text=text)
        run.write_report(made.html)
    except Exception as error:  # which may not end a run
        return f"{run.path / 'report.html'}: cannot be written: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, GrucliError):
        return str(error)
    return getattr(error, "strerror", None) or repr(error)
