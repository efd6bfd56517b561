"""``grucli train``: from a text to a model."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from grucli.cli import narrate, render
from grucli.cli.request import Request, Session
from grucli.errors import UsageError

if TYPE_CHECKING:
    from grucli.runs import RunDirectory

Corpus = Annotated[
    list[str] | None,
    typer.Argument(
        help="Text files, .gz accepted, read as one text; - reads standard input.",
        metavar="CORPUS",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings in YAML.", metavar="FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="One setting, as in model.hidden=512.", metavar="KEY=VALUE"),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Ends the run's name [the corpus].", metavar="NAME")
]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", help="Where to make the run directory.", metavar="DIR")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of all random numbers.", metavar="N")]
Steps = Annotated[int | None, typer.Option("--steps", help="Budget in updates.", metavar="N")]
Epochs = Annotated[
    float | None, typer.Option("--epochs", help="Budget in passes over the text.", metavar="X")
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Budget in minutes.", metavar="X")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Go on with this run from its last checkpoint.", metavar="RUN"),
]
InitFrom = Annotated[
    Path | None,
    typer.Option("--init-from", help="Start a new run from these weights.", metavar="RUN|CKPT"),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the settings in YAML and stop.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and stop.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no samples.")]


def train(
    corpus: Corpus = None,
    config: Config = None,
    sets: Sets = None,
    name: Name = None,
    runs_dir: RunsDir = Path("runs"),
    seed: Seed = None,
    steps: Steps = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    resume: Resume = None,
    init_from: InitFrom = None,
    print_config: PrintConfig = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text and print the path of the run directory.

    Settings come from --config, then --set and the flags; --print-config shows them all.
    """
    began = time.perf_counter()
    numbers = {"seed": seed, "steps": steps, "epochs": epochs, "minutes": minutes}
    flags = {f"train.{key}": value for key, value in numbers.items() if value is not None}
    request = Request(corpus or [], config, sets or [], flags, resume, init_from)
    if print_config:
        from grucli.config import to_yaml

        render.write(to_yaml(request.settings()).encode())
        return
    if resume is not None and name is not None:
        raise UsageError("--name cannot be changed on --resume; it is a new run's")
    session = request.session()
    narrate.show_plan(session.plan, quiet)
    if not dry_run:
        _train(session, name, runs_dir, began, quiet)


def _train(session: Session, name: str | None, runs_dir: Path, began: float, quiet: bool) -> None:
    from grucli.plan import describe
    from grucli.runs import RunDirectory
    from grucli.training import Trainer

    plan, run, elapsed = session.plan, session.run, 0.0
    if run is None:
        title = name or _title(plan.corpus.sources[0])
        run = RunDirectory.create(runs_dir, title, plan.settings, session.overrides)
        model = plan.settings.model
        facts = describe(plan) | {"model": f"{model.cell} {model.layers}x{model.hidden}"}
        run.write_info(
            {"status": "running", **facts, "step": 0, "best": {"step": None, "loss": None}}
        )
    else:
        elapsed = _reopen(run, session, quiet)
    trainer = Trainer(plan, session.checkpoint, run, elapsed + time.perf_counter() - began)
    with closing(trainer), _stop_signals() as stop:
        try:
            expected = trainer.estimate()
            if not quiet:
                render.say(f"time     about {render.duration(expected)}")
            narrate.follow(trainer, stop, quiet)
        except BaseException:
            run.update_info(status="failed")
            raise
    stopped = stop.signal
    run.update_info(status="interrupted" if stopped else "done")
    narrate.say_goodbye(trainer, stopped, quiet)
    render.write_line(str(run.path))
    if stopped:
        raise typer.Exit(128 + stopped)


def _reopen(run: "RunDirectory", session: Session, quiet: bool) -> float:
    """Bring a run's files back to its last checkpoint; the seconds it has used so far."""
    from grucli.config import to_yaml
    from grucli.files import replace_text

    progress = session.checkpoint.progress
    run.drop_after(progress.step)
    replace_text(run.path / "config.yaml", to_yaml(session.plan.settings))
    run.update_info(status="running")
    if not quiet:
        best = "" if progress.best_loss is None else f", best loss so far {progress.best_loss:.4f}"
        render.say(f"resume   {run.path} at step {progress.step:,}{best}")
    return float(run.info.get("elapsed_s", 0.0)) if progress.seconds is None else 0.0


class _Stop:
    """Whether the user has asked to stop, and by which signal."""

    signal: int = 0

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask to stop after this step; the second time, stop at once."""
        del frame
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        render.say("\nstopping after this step and saving; once more stops at once")


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, stop.handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _title(source: str) -> str:
    return "stdin" if source == "-" else Path(source).name.removesuffix(".gz").rsplit(".", 1)[0]
