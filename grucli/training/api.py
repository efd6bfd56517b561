"""The library form of ``grucli train``. It prints nothing; notes are in the event ``Started``."""

from collections.abc import Callable, Generator
from contextlib import closing

from typing_extensions import Unpack

from grucli.arguments import PathLike, checked
from grucli.run.run import Run
from grucli.stopping import closed_at_exit
from grucli.training.events import Event, Started
from grucli.training.preparation import prepare, take_part
from grucli.training.ranks import joined
from grucli.training.request import Request, TrainOptions


@checked
def train(
    *sources: PathLike,
    on_event: Callable[[Event], object] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a model on a text.

    Args:
        sources: as in ``train_events``, like all other arguments and the errors.
        on_event: called with each event.
        stop: called after each event; when it returns True, the run is saved, and can be resumed.
        options: as in ``train_events``.

    Returns:
        The run, after it has ended or was stopped.
    """
    with closing(_events(Request.of(sources, options))) as events:
        for event in events:
            on_event(event)
            if isinstance(event, Started):
                run = Run(event.path)
            if stop():
                break
    return run


@checked
def train_events(
    *sources: PathLike, **options: Unpack[TrainOptions]
) -> Generator[Event, None, None]:
    """Train a model on a text and yield the events, from ``Started`` to ``Finished``.

    Nothing is read or written before the first event is requested. If the generator is closed, as
    by leaving the loop, or at exit, the run stops after its step: it is saved, and can be resumed.
    An exception inside a step, such as KeyboardInterrupt, saves nothing.

    Args:
        sources: files and directories, read as one text; a resumed run reads its own text.
        text: a string to train on instead of files. The run directory keeps it, as ``corpus.txt``.
        lines: its lines, from any iterable of strings; each is a document.
        texts: its documents, in the same way; ``settings`` may ask for documents of another kind.
        val: the validation text: a fraction of the text, or files or directories of its own.
        test: the test text, in the same way.
        minutes: the training budget as time, in minutes.
        epochs: the training budget as passes over the text.
        steps: the training budget as a number of updates.
        seed: the random seed.
        settings: values by dotted key, such as ``{"model.hidden": 128}``.
        config: a settings file; ``settings`` has priority over it.
        name: suffix of the run directory's name; None takes the name of the text.
        runs_dir: the directory for the new run directory; None means ``runs``.
        resume: a run to resume.
        init_from: a run or a checkpoint whose weights a new run starts from.
        unknown: ``"error"``, or ``"skip"``: leave out characters that these weights do not know,
            or that only files for validation and test have.
        extend_vocabulary: whether such characters are added to the vocabulary.
        mpi: whether all processes of mpiexec train this run; all but rank 0 end with it.

    Raises:
        UsageError: the request is not possible; nothing has been written.
        RunError: a file cannot be written, or the run has diverged.
    """
    return _events(Request.of(sources, options))


@closed_at_exit
def _events(request: Request) -> Generator[Event, None, None]:
    with joined(request.mpi) as ranks, request.with_files() as asked:
        if ranks.rank:
            take_part(ranks)
            raise SystemExit(0)
        with closing(prepare(asked, ranks)) as session:
            yield from session.events()
