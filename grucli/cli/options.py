"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

command_line: list[str] = []
"""The words of the current command, for run.json."""

# ---- runs and texts

Run = Annotated[
    Path, typer.Argument(help="A run directory or a checkpoint file.", metavar="RUN|CKPT")
]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN")]
OptionalRun = Annotated[
    Path | None, typer.Argument(help="A run directory or a checkpoint file.", metavar="[RUN|CKPT]")
]
Corpus = Annotated[
    list[str] | None,
    typer.Argument(
        help="Text files, .gz files or directories, read as one text; - reads standard input.",
        metavar="CORPUS",
        show_default=False,
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="The text to read [the run's own text; for an untrained model, the Python reference].",
        metavar="FILE",
    ),
]
_UNKNOWN = typer.Option(
    "--unknown",
    help="What to do with characters that the model never saw: error stops the command, skip "
    "leaves them out, floor (of eval) charges for each as for half an occurrence in the training "
    "text.",
    metavar="HOW",
)
Unknown = Annotated[Literal["error", "skip"], _UNKNOWN]
UnknownInScore = Annotated[Literal["error", "skip", "floor"], _UNKNOWN]
Length = Annotated[
    int, typer.Option("--length", "-n", min=0, help="Number of characters.", metavar="N")
]

# ---- settings

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="A settings file in YAML.", metavar="FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="Change a setting, for example model.hidden=512.", metavar="KEY=VALUE"
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="The random seed; equal seeds give equal results.", metavar="N"),
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Training budget in updates.", metavar="N")
]
Epochs = Annotated[
    float | None,
    typer.Option("--epochs", help="Training budget in passes over the text.", metavar="X"),
]
Minutes = Annotated[
    float | None, typer.Option("--minutes", help="Training budget in minutes.", metavar="X")
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Suffix of the run directory's name [the name of the text]; of a sweep, the name of "
        "its directory [the name of the file].",
        metavar="NAME",
    ),
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="The directory for run directories [runs].", metavar="DIR"),
]

# ---- models to analyse

Cells = Annotated[
    str | None,
    typer.Option("--cells", help="The cells to compare, separated by commas.", metavar="A,B,..."),
]
Hidden = Annotated[
    int | None,
    typer.Option(
        "--hidden", min=1, max=4096, help="Number of units of an untrained model [64].", metavar="N"
    ),
]
Distance = Annotated[
    int,
    typer.Option(
        "--distance",
        min=1,
        max=10_000,
        help="Number of steps back to follow the gradient.",
        metavar="N",
    ),
]
Positions = Annotated[
    int,
    typer.Option(
        "--positions",
        min=1,
        max=100_000,
        help="Number of positions of the text to measure at.",
        metavar="N",
    ),
]

# ---- the answer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw a plot to this .svg file.", metavar="FILE")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The file to write; - writes to standard output.",
        metavar="FILE",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]
