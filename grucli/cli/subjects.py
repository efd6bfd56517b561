"""The models that a command analyses: runs, or untrained models of some cells."""

from collections.abc import Sequence
from pathlib import Path

from grucli.analysis.subject import UNITS, Subject, cell_names, of_run, untrained
from grucli.errors import UsageError


def choose_subjects(
    runs: Sequence[Path],
    option: str,
    cells: str | None,
    default: str,
    text: str | None,
    hidden: int | None,
) -> list[Subject]:
    """Load runs, or without runs make untrained models of the cells that an option names."""
    for name, value in ((option, cells), ("--hidden", hidden)):
        if runs and value is not None:
            raise UsageError(f"{name} is for untrained models; leave it out, or name no run")
    if runs:
        return [of_run(path, text) for path in runs]
    names = cell_names(default if cells is None else cells)
    return untrained(names, text, UNITS if hidden is None else hidden)
