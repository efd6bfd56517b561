"""``grucli import``: a run from the weights that another program has written."""

from pathlib import Path

from grucli.cli import render
from grucli.exchange.imports import import_model


def import_(
    weights_file: Path,
    own_cell: str | None = None,
    vocabulary: Path | None = None,
    name: str | None = None,
    runs_dir: Path | None = None,
) -> None:
    """Make a run directory from weights in a safetensors file or a state dict of PyTorch.

    The file is an export of grucli, or has an nn.GRU, nn.LSTM or nn.RNN and a linear layer after
    it, perhaps with an embedding before it. The run can be sampled, evaluated and analysed. It has
    no text, so commands that read the run's own text need one; docs/exchange.md tells more.
    """
    run = import_model(weights_file, vocabulary=vocabulary, name=name, runs_dir=runs_dir)
    render.say(repr(run))
    render.write_path(run.path)
