"""Choose the models that a command analyses: runs, or untrained models of some cells."""

from collections.abc import Sequence
from pathlib import Path

from grucli.analysis import subject
from grucli.analysis.subject import Subject
from grucli.errors import UsageError


def chosen(
    runs: Sequence[Path],
    option: str,
    cells: str | None,
    default: str,
    text: str | None,
    hidden: int | None,
) -> list[Subject]:
    """Load the given runs, or make untrained models if there are none.

    Args:
        runs: runs or checkpoints.
        option: the option that names cells.
        cells: the value of that option.
        default: the default of that option.
        text: a text file to read.
        hidden: the number of units of the untrained models.

    Raises:
        UsageError: options of untrained models are given with a run.
    """
    for name, value in ((option, cells), ("--hidden", hidden)):
        if runs and value is not None:
            raise UsageError(f"{name} is for untrained models; leave it out, or name no run")

    if runs:
        return [subject.of_run(path, text) for path in runs]
    names = subject.cell_names(default if cells is None else cells)
    return subject.untrained(names, text, subject.UNITS if hidden is None else hidden)
