"""``grucli gradcheck``: proof that the gradients are right."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grucli.cli import render
from grucli.cli.subjects import text_of
from grucli.errors import UsageError

if TYPE_CHECKING:
    from grucli.nn.gradcheck import Row

ENTRIES = 24
"""Entries compared in each array of a trained model."""

EVERY_ENTRY_UP_TO = 16
"""Hidden units up to which every entry of every array is compared."""


def gradcheck(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Check the weights of this run or checkpoint on its own text.",
            metavar="[RUN|CKPT]",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Another model, such as model.layers=3 or model.reset=after.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Check on this text in place of the run's.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every gradient against central differences, in float64; exit 1 if one is wrong."""
    if run is not None and sets:
        raise UsageError("--set describes another model; a run or checkpoint brings its own")
    if text is not None and run is None:
        raise UsageError("--text goes with a run or a checkpoint")
    rows = list(_check_run(run, text) if run is not None else _check_toy(sets or []))
    passed = all(row.passed for _, row in rows)
    if as_json:
        render.write_json(_as_json(rows, passed))
    else:
        _print_table(rows)
    raise typer.Exit(0 if passed else 1)


def _check_toy(sets: list[str]) -> Iterable[tuple[str, "Row"]]:
    from grucli import config
    from grucli.nn.gradcheck import check_all

    values = {key: value for text in sets for key, value in config.parse_override(text).items()}
    names = ("cell", "reset", "hidden", "layers", "dropout", "locked", "weight_dropout")
    counted = {"data.documents", *(f"model.{name}" for name in names)}
    unused = sorted((set(values) - counted) & set(config.flatten(config.Settings())))
    if unused:
        raise UsageError(f"{unused[0]} has no effect here; {', '.join(sorted(counted))} have")
    base = config.Settings(model=config.Model(hidden=5, layers=2, dropout=0.25))
    settings = config.resolve([("--set", values)], base)
    model = settings.model
    return check_all(
        hidden=model.hidden,
        layers=model.layers,
        dropout=model.dropout,
        cell=model.variant,
        locked=model.locked,
        recurrent=model.weight_dropout,
        documents=settings.data.documents is not None,
        entries=None if model.hidden <= EVERY_ENTRY_UP_TO else ENTRIES,
    )


def _check_run(path: Path, text: str | None) -> Iterable[tuple[str, "Row"]]:
    import numpy as np

    from grucli.nn.gradcheck import Window, check_trained
    from grucli.storage.directory import open_checkpoint

    file, checkpoint = open_checkpoint(path)
    model = checkpoint.model_to_use().astype(np.float64)
    ids = text_of(file, checkpoint, text)
    B = min(3, checkpoint.state.shape[1], len(ids) // 2)
    T = min(12, len(ids) // B - 1)
    starts = np.arange(B) * (len(ids) // B)  # (B,)
    places = starts + np.arange(T + 1)[:, None]  # (T+1, B)
    window = ids[places].astype(np.intp)
    state = checkpoint.state[:, :B].astype(np.float64)
    return check_trained(model, Window(window[:-1], window[1:], state, None), ENTRIES)


def _as_json(rows: list[tuple[str, "Row"]], passed: bool) -> dict[str, object]:
    from grucli.nn.gradcheck import TOLERANCE

    return {
        "passed": passed,
        "tolerance": TOLERANCE,
        "worst": max(row.error for _, row in rows),
        "checks": [
            {
                "section": section,
                "array": row.name,
                "shape": list(row.shape),
                "compared": row.compared,
                "error": row.error,
                "passed": row.passed,
            }
            for section, row in rows
        ],
    }


def _print_table(rows: list[tuple[str, "Row"]]) -> None:
    from grucli.nn.gradcheck import TOLERANCE

    shown = ""
    for section, row in rows:
        if section != shown:
            render.write_line(f"{'' if not shown else chr(10)}{section}")
            render.write_line(f"  {'array':<14} {'shape':<14} {'compared':<12} rel. error")
            shown = section
        shape, verdict = " x ".join(map(str, row.shape)), "ok" if row.passed else "WRONG"
        render.write_line(
            f"  {row.name:<14} {shape:<14} {row.compared:<12} {row.error:10.1e}  {verdict}"
        )
    wrong = [row.name for _, row in rows if not row.passed]
    worst = max(row.error for _, row in rows)
    render.write_line(
        f"\n{len(rows)} checks, worst relative error {worst:.1e}, allowed {TOLERANCE:.0e}: "
        + (f"WRONG: {', '.join(wrong)}" if wrong else "all gradients are right")
    )
