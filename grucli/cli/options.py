"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

command_line: list[str] = []
"""The words of the current command, for run.json."""

# ---- runs and texts

Run = Annotated[Path, Argument(help="A run directory or a checkpoint file.", metavar="RUN|CKPT")]
Runs = Annotated[list[Path], Argument(help="Run directories.", metavar="RUN")]
OptionalRun = Annotated[
    Path | None, Argument(help="A run directory or a checkpoint file.", metavar="[RUN|CKPT]")
]
Corpus = Annotated[
    list[str] | None,
    Argument(
        help="Text files, .gz files or directories, read as one text; - reads standard input.",
        metavar="CORPUS",
    ),
]
Text = Annotated[
    str | None,
    Option(
        "--text",
        help="The text to read [the run's own text; for an untrained model, the Python reference].",
        metavar="FILE",
    ),
]
_UNKNOWN = Option(
    "--unknown",
    help="What to do with characters that the model never saw: error stops the command, skip "
    "leaves them out, floor (of eval) charges for each as for half an occurrence in the training "
    "text.",
    metavar="HOW",
)
Unknown = Annotated[Literal["error", "skip"], _UNKNOWN]
UnknownInScore = Annotated[Literal["error", "skip", "floor"], _UNKNOWN]
Length = Annotated[int, Option("--length", "-n", min=0, help="Number of characters.", metavar="N")]

# ---- settings

Config = Annotated[
    Path | None, Option("--config", "-c", help="A settings file in YAML.", metavar="FILE")
]
Sets = Annotated[
    list[str] | None,
    Option(
        "--set", "-s", help="Change a setting, for example model.hidden=512.", metavar="KEY=VALUE"
    ),
]
Seed = Annotated[
    int | None,
    Option("--seed", help="The random seed; equal seeds give equal results.", metavar="N"),
]
Steps = Annotated[int | None, Option("--steps", help="Training budget in updates.", metavar="N")]
Epochs = Annotated[
    float | None, Option("--epochs", help="Training budget in passes over the text.", metavar="X")
]
Minutes = Annotated[
    float | None, Option("--minutes", help="Training budget in minutes.", metavar="X")
]
Name = Annotated[
    str | None,
    Option(
        "--name",
        help="Suffix of the run directory's name [the name of the text]; of a sweep, the name of "
        "its directory [the name of the file].",
        metavar="NAME",
    ),
]
RunsDir = Annotated[
    Path | None,
    Option("--runs-dir", help="The directory for run directories [runs].", metavar="DIR"),
]

# ---- models to analyse

Cells = Annotated[
    str | None,
    Option("--cells", help="The cells to compare, separated by commas.", metavar="A,B,..."),
]
Hidden = Annotated[
    int | None,
    Option(
        "--hidden", min=1, max=4096, help="Number of units of an untrained model [64].", metavar="N"
    ),
]
Distance = Annotated[
    int,
    Option(
        "--distance",
        min=1,
        max=10_000,
        help="Number of steps back to follow the gradient.",
        metavar="N",
    ),
]
Positions = Annotated[
    int,
    Option(
        "--positions",
        min=1,
        max=100_000,
        help="Number of positions of the text to measure at.",
        metavar="N",
    ),
]

# ---- the answer

Json = Annotated[bool, Option("--json", help="Print JSON.")]
Plot = Annotated[
    Path | None, Option("--plot", help="Draw a plot to this .svg file.", metavar="FILE")
]
Output = Annotated[
    Path | None,
    Option(
        "--output", "-o", help="The file to write; - writes to standard output.", metavar="FILE"
    ),
]
Force = Annotated[bool, Option("--force", help="Overwrite the file if it exists.")]
