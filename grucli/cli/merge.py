"""``grucli merge``: one run from several."""

from pathlib import Path

from grucli.cli import render
from grucli.run.merged import merge as merge_runs
from grucli.run.run import Run


def merge(
    models: list[Path],
    own_cell: str | None = None,
    name: str | None = None,
    runs_dir: Path | None = None,
) -> None:
    """Merge runs of one text into one network, which usually predicts better than each of them.

    Its logits are the mean of theirs, scaled on the validation text. The runs may differ in seed,
    units, dropout and budget. The new network has the units of all runs, so it is slower than each.
    It can be sampled, evaluated, exported and analysed like any other run.
    """
    merged = merge_runs(*models, name=name, runs_dir=runs_dir)
    for path, run in [*((path, Run.open(path)) for path in models), ("merged", merged)]:
        judge = "validation" if run.checkpoint.settings.data.val else "training"
        loss = render.cell(run.checkpoint.progress.loss, ".4f")
        render.say(f"{judge} loss {loss}  {path}")
    if merged.checkpoint.progress.loss is None:
        render.warn("no validation text can be read, so the merged logits are not scaled")
    render.write_path(merged.path)
