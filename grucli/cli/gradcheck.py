"""``grucli gradcheck``: check that the gradients are right."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from grucli.cli import options
from grucli.cli.output import answer
from grucli.cli.request import overrides
from grucli.errors import UsageError

if TYPE_CHECKING:
    from grucli.analysis.gradient_checks import Report


def gradcheck(
    run: options.OptionalRun = None,
    sets: options.Sets = None,
    text: options.Text = None,
    as_json: options.Json = False,
) -> None:
    """Check every gradient against central differences, in float64; exit 1 if one is wrong.

    Without a run, the command checks a small model with random weights. --set changes this model,
    for example with model.layers=3 or model.reset=after. With a run, the command checks the weights
    of its best checkpoint on its text.
    """
    if run is not None and sets:
        raise UsageError("--set cannot be combined with a run, which has its own settings")
    if run is None and text is not None:
        raise UsageError("--text is for a run or a checkpoint; name one, or leave --text out")
    from grucli.analysis.gradient_checks import check_run, check_settings

    report = check_settings(overrides(sets or [])) if run is None else check_run(run, text)
    answer(report.to_dict(), _lines(report), as_json=as_json)
    raise typer.Exit(0 if report.passed else 1)


def _lines(report: "Report") -> Iterator[str]:
    from grucli.nn.gradcheck import TOLERANCE

    shown = ""
    for section, row in report.rows:
        if section != shown:
            yield f"{chr(10) if shown else ''}{section}"
            yield f"  {'array':<14} {'shape':<14} {'compared':<12} rel. error"
            shown = section
        shape, verdict = " x ".join(map(str, row.shape)), "ok" if row.passed else "WRONG"
        yield f"  {row.name:<14} {shape:<14} {row.compared:<12} {row.error:10.1e}  {verdict}"
    verdict = f"WRONG: {', '.join(report.wrong)}" if report.wrong else "all gradients are right"
    yield (
        f"\n{len(report.rows)} checks, worst relative error {report.worst:.1e}, "
        f"allowed {TOLERANCE:.0e}: {verdict}"
    )
