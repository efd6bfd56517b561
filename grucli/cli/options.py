"""The words of all arguments and options. Commands have only their names and types."""

import os
from collections.abc import Callable
from importlib import import_module
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from grucli.cli import render
from grucli.run.names import is_run, named_run

command_line: list[str] = []
"""The words of the current command, for run.json."""

WORDS = {
    # runs and texts
    "run RUN|CKPT": "A run directory or a checkpoint file; of a run in runs/ the end of its name "
    "is enough, and latest is the newest.",
    "paths RUN": "Run directories, or their short names.",
    "models RUN|CKPT": "Run directories, their short names, or checkpoint files.",
    "directory DIR": "The directory of the runs.",
    "corpus CORPUS": "Text files, .gz files or directories, read as one text; - reads standard "
    "input.",
    "sources CORPUS": "Text files, .gz files or directories, read as one text.",
    "compared CORPUS": "Text files or directories, read as one text; with --runs, run directories.",
    "example NAME": "python-reference (the language reference, 0.5 MB of English prose) or "
    "python-stdlib (the standard library, about 12 MB of Python source).",
    "weights_file FILE": "A file of safetensors, or of torch.save.",
    "files FILE": "Texts to predict, or to score line by line; - reads standard input.",
    "ranges SWEEP.yaml": "A settings file whose values may be ranges; docs/sweeps.md describes it.",
    "--split train|val|test": "Predict a part of the run's own corpus instead of files.",
    "--text FILE": "The text to read [the run's validation text, for gradcheck its whole text; "
    "for an untrained model, the Python reference].",
    "--title TEXT": "The heading of the page [one with the name of the text].",
    "--passage FILE": "A text that the page reads first, in all tabs but Write, in UTF-8 or in the "
    "encoding of the corpus; - reads standard input [a sample of the model].",
    "--unknown HOW": "What to do with characters that the model never saw: error stops the "
    "command, skip leaves them out, floor (of eval and score) charges for each as for half an "
    "occurrence in the training text.",
    "--against RUN|CKPT": "Compare with this model; can be given several times.",
    "--prior P,P,...": "How probable the models are, RUN first, before a line is seen; only the "
    "proportions count [equal].",
    "--whole-files": "Score each file as one text.",
    "--sort surprise|ratio": "The rows with the most nats per character first, or with the highest "
    "ratio to the likeliest other model. Without --top, all rows are held in memory.",
    "--chars": "Add the log probability of each character, in nats.",
    "--context N": "Also read the texts in windows of N characters, each from the zero state, as "
    "transformers are judged.",
    "--adapt": "Also predict the texts while a copy of the model learns from what it has predicted "
    "(dynamic evaluation); the figures are shown beside the others.",
    "--save-adapted RUN": "With --adapt and one text: a new run directory for the weights after "
    "the text.",
    "--length -n N": "Number of characters.",
    # training
    "--config -c FILE": "A settings file in YAML; tiny, small, medium and large come with grucli.",
    "--set -s KEY=VALUE": "Change a setting, for example model.hidden=512; eval and score take "
    "data.encoding alone.",
    "--val FILE": "Validate on this text instead of a part of the corpus; can be repeated. With "
    "--unknown skip, characters that the corpus lacks are left out.",
    "--test FILE": "A text for eval --split test, in the same way.",
    "--seed N": "The random seed; equal seeds give equal results.",
    "--steps N": "Training budget in updates.",
    "--epochs X": "Training budget in passes over the text.",
    "--minutes X": "Training budget in minutes.",
    "--name NAME": "Suffix of the run directory's name [the name of the text or of the "
    "weights' file, or merged]; of a sweep, the name of its directory [the name of the file].",
    "--runs-dir DIR": "The directory for run directories [runs].",
    "--resume RUN": "Continue this run from its last checkpoint.",
    "--init-from RUN|CKPT": "Start a new run from the weights of this run or checkpoint.",
    "--extend-vocabulary": "With --init-from: add the characters that the weights do not know to "
    "the vocabulary.",
    "--print-config": "Print the settings as YAML, and train nothing.",
    "--dry-run": "Show the plan, and train nothing.",
    "--mpi": "Train one run with all processes that mpiexec has started.",
    "--tensorboard": "Also write losses and samples for TensorBoard, into the run directory.",
    "--quiet -q": "Show no progress and no samples.",
    "--match": "width: equal numbers of units; params: about equal numbers of parameters [width].",
    "--seeds N": "Runs of each cell [1].",
    "--runs": "Compare existing runs, and train nothing.",
    "--storage URL": "Keep the study in this database, such as postgresql://user@host/name [a "
    "journal beside the runs].",
    "--show STUDY": "Show the results of a study, such as runs/sweep, and train nothing.",
    # samples
    "--temperature -t T": "Below 1: more predictable; above 1: more varied; 0: the most probable "
    "character.",
    "--top-k K": "Use only the K most probable characters.",
    "--top-p P": "Use only the most probable characters that together reach probability P.",
    "--prompt -p TEXT": "Text to continue.",
    "--prompt-file FILE": "File to continue, in UTF-8 or in the encoding of the corpus; - reads "
    "standard input.",
    "--count -c N": "Number of samples.",
    "--stop TEXT": "End a sample before this text, which must begin after the prompt; \\n, \\t and "
    "\\\\ are escapes.",
    "--pattern REGEX": "A regular expression that each sample matches as a whole; of "
    "documents, such as lines, one with its prompt. docs/conditions.md describes all conditions.",
    "--only SET": 'The only characters of a sample, such as "a-z ".',
    "--without SET": 'Characters that a sample does not have, such as "0-9".',
    "--min-length N": "The least number of characters of a sample.",
    "--max-length N": "The greatest number of characters of a whole sample [--length].",
    "--exact": "Draw from the model's distribution given the condition, by trying again: slow if "
    "few samples fulfil it. Without it, each character is drawn from those that can fulfil it.",
    "--new": "Make only samples that are not in the training text: of documents, none of them; "
    "otherwise, none with more than 30 characters in a row from it.",
    "--not-in FILE": "Make only samples that are not in this text, which has the encoding of the "
    "corpus; - reads standard input.",
    "--longest-copy N": "With --new or --not-in: the most characters in a row that a sample may "
    "copy [30; of documents, any number].",
    "--distinct": "Make no sample twice.",
    "--beam K": "Find the K most probable texts by a beam search, and draw none at random.",
    "--separator TEXT": "The text between samples [a line of three dashes; between lines a line "
    "end, between paragraphs an empty line].",
    "--echo/--no-echo": "Print the prompt before its continuation.",
    "--raw": "Send control characters to the terminal as they are.",
    # analysis
    "--cell-file FILE": "A Python file with a cell of your own (docs/adding-a-cell.md), by which a "
    "run was trained or is to be; it is a program: name only a file that you trust.",
    "--cells A,B,...": "The cells to compare, separated by commas.",
    "--cell NAME": "Cell of an untrained model or an example: gru, lstm or rnn [gru].",
    "--numbers FILE": "A YAML file with numbers of your own by their names, such as h_0: "
    "[0.5, -0.4]; those that it does not name are as usual.",
    "--handout FILE": "Also write the example with blanks, as an HTML page to print.",
    "--hidden N": "Number of units of an untrained model [64].",
    "--untrained": "Also show each run's network before training; the plot has it in the same "
    "colour, with a dashed line.",
    "--distance N": "Number of steps back to follow the gradient.",
    "--positions N": "Number of positions of the text to measure at.",
    "--steps-back -k K": "Number of steps back over which to enumerate all compositions.",
    "--rows N": "Number of compositions to show.",
    "--unit N": "Colour the text by the values of this unit.",
    "--top N": "How many to show: of activations the units that follow each structure best, of "
    "score the rows that --sort puts first [surprise], of next the likeliest characters.",
    "--surprisal": "Colour the text by the surprisal of each character.",
    "--layer L": "The layer to look at, from 1 [the top one].",
    "--break MISTAKE|list": "Make a mistake in the backward pass and see the check fail; list "
    "shows all mistakes.",
    "--products numpy|onednn": "Also check one whole step of training, with its processes, masks "
    "and products in float32 and bfloat16, against float64.",
    "--brief": "Show the verdict, and one line for each part of the check.",
    # the answer
    "--json": "Print JSON.",
    "--jsonl": "Print JSON, one line for each row.",
    "--by step|chars|time": "The horizontal axis.",
    "--weights TYPE": "Type of the weights: of a page float32 or float16 [float16 above a million "
    "parameters]; of an ONNX file float32, float16 or int8.",
    "--to FORMAT": "onnx, safetensors, torch, keras, hub, csv or tensorboard.",
    "--license NAME": "The licence of the model in a folder for the Hub, such as mit; the Hub "
    "needs one.",
    "--language CODE": "The language of the text in a folder for the Hub, such as en.",
    "--vocabulary FILE": "The symbols in the order of their ids, if the weights come without them: "
    "a JSON list (.json), or a text in which each occurs once.",
    "--html FILE": "Write the coloured text to this HTML file.",
    "--plot FILE": "Draw a plot to this .svg file.",
    "--tree FILE": "Draw all compositions as a tree, with their shares, to this .svg file.",
    "--output -o FILE": "The file to write; - writes to standard output.",
    "--force": "Overwrite the file if it exists.",
    # of the program
    "--version": "Show the version.",
    "--debug": "Show the traceback of an error.",
}
"""The help of each option by its names, or of an argument by its parameter, and its placeholder."""

LIMITS: dict[str, tuple[int, int | None]] = {
    "seeds": (1, 100),
    "hidden": (1, 4096),
    "distance": (1, 10_000),
    "positions": (1, 100_000),
    "steps_back": (1, 100),
    "rows": (1, None),
    "top": (1, None),
    "beam": (1, None),
    "context_length": (1, None),
}
"""The lowest and the highest value of an option."""

OTHER_NAMES = {
    "as_json": "json",
    "context_length": "context",
    "existing": "runs",
    "mistake": "break",
    "own_cell": "cell_file",
    "sets": "set",
}
"""Options whose names Python needs for something else."""


def _named_runs(given: Path | list[Path] | None) -> Path | list[Path] | None:
    """The runs that a word or a list names; what is no run is left out of a list such as runs/*."""
    if given is None or isinstance(given, Path):
        return given and named_run(given)
    named = [named_run(path) for path in given]
    there = [path for path in named if os.path.lexists(path)]
    others = [path for path in there if not is_run(path) and path.suffix != ".npz"]
    if not others or len(others) == len(named):
        return named
    render.warn(f"{', '.join(map(str, others))}: no run, and left out")
    return [path for path in named if path not in others]


def _load_cell(path: str | None) -> str | None:
    """Load the cell that a command needs; return its name, of which most have no use."""
    return path and import_module("grucli.nn.cells.from_file").load_cell(path)


CALLBACKS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("run", "paths", "models", "resume", "init_from", "against"), _named_runs),
    "own_cell": _load_cell,
}
"""What makes the value of a parameter from what was typed."""

_SPELLINGS = {
    spelling.split()[0].partition("/")[0].removeprefix("--").replace("-", "_"): spelling
    for spelling in WORDS
}


def described(
    command: Callable[..., None], signature_of: Callable[..., Signature] = signature
) -> Callable[..., None]:
    """A command whose parameters are annotated with their words."""
    declared = signature_of(command)
    parameters = [
        one.replace(annotation=Annotated[one.annotation, _argument_or_option(one.name)])
        if one.name != "context"
        else one
        for one in declared.parameters.values()
    ]
    command.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def _argument_or_option(name: str) -> Any:
    spelling = _SPELLINGS[OTHER_NAMES.get(name, name)]
    names = [word for word in spelling.split() if word.startswith("-")]
    metavar = "".join(word for word in spelling.split()[1:] if not word.startswith("-")) or None
    (least, most), callback = LIMITS.get(name, (None, None)), CALLBACKS.get(name)
    kind: Any = Option if names else Argument
    shown = {"metavar": metavar, "help": WORDS[spelling]}
    return kind(*names, callback=callback, min=least, max=most, **shown)
