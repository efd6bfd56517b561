"""``grucli export``: a run in the format of another program."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grucli.cli import render
from grucli.errors import UsageError
from grucli.exchange import export as exports
from grucli.exchange.export import Export, Format
from grucli.exchange.onnx_graph import Weights
from grucli.text_out import quote


def export(
    run: Path,
    to: Format,
    own_cell: str | None = None,
    output: Path | None = None,
    weights: Weights = "float32",
    license: str | None = None,
    language: str | None = None,
    force: bool = False,
) -> None:
    """Write the model of a run, or its metrics, in the format of another program.

    onnx, torch and keras are models that these programs compute; that of onnx is compared with
    grucli before it is written. safetensors holds the weights and the vocabulary, and `grucli
    import` reads it. hub is a folder for the Hugging Face Hub. csv and tensorboard hold the
    metrics. Without --output, the export is written into the run directory. docs/exchange.md has
    the formulas.
    """
    options: dict[str, Any] = {"weights": weights, "license": license, "language": language}
    if output != render.STANDARD_OUTPUT:
        made = exports.export(run, to, output, force=force, **options)
        _say(made, to, weights)
        render.write_path(made.path)
        return
    if to in ("hub", "tensorboard", "torch"):
        raise UsageError(f"--output -: {to} is more than one file; name a file or folder")
    with TemporaryDirectory() as folder:
        made = exports.export(run, to, Path(folder, "export"), **options)
        _say(made, to, weights)
        render.write_raw(made.path.read_bytes())


def _say(made: Export, to: Format, weights: Weights) -> None:
    for path in made.files[1:] if to == "torch" else ():
        render.say(f"wrote    {path}")
    if compared := made.compared:
        render.say(
            f"checked: its log probabilities of {compared.symbols:,} symbols differ from grucli's "
            f"by at most {compared.difference:.1e} nats"
        )
        if weights != "float32":
            losses = f"{compared.loss:.5f} nats per symbol, in float32 {compared.own_loss:.5f}"
            render.say(f"loss     {losses}")
    if to == "hub":
        render.say("nothing is uploaded; this command would do it:")
        render.say_command(f"hf upload NAME/MODEL {quote(str(made.path))}")
    if to == "tensorboard":
        render.say_command(f"tensorboard --logdir {quote(str(made.path))}")
