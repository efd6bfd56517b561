"""``grucli eval``: how well a model predicts texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grucli.cli import render
from grucli.cli.sample import Run, Unknown
from grucli.errors import CorpusError, UnknownCharacterError, UsageError

if TYPE_CHECKING:
    from grucli.config import Data
    from grucli.evaluation import Score
    from grucli.storage.checkpoint import Checkpoint

COLUMNS = ("characters", "nats/char", "bits/char", "perplexity", "accuracy")


Files = Annotated[
    list[str] | None,
    typer.Argument(help="Texts to predict; - reads standard input.", metavar="FILE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="A part of the run's own corpus in place of files.",
        metavar="train|val|test",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        help="data.encoding=NAME, if the texts are not encoded as the corpus was.",
        metavar="KEY=VALUE",
    ),
]


def evaluate(
    run: Run,
    files: Files = None,
    split: Split = None,
    unknown: Unknown = "error",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Say how well a model predicts each text: bits per character, perplexity, accuracy.

    Each text is read from the zero state; its first character is not predicted, but in a list.
    Long texts are read in pieces side by side, each after the 256 characters before it.
    """
    if bool(files) == bool(split):
        raise UsageError("name the texts to predict, or --split val for a part of the run's own")
    from grucli.evaluation import Score
    from grucli.storage.directory import open_checkpoint

    path, checkpoint = open_checkpoint(run)
    if split:
        scores = [(split, _score_split(path, checkpoint, split))]
    else:
        scores = _score_files(checkpoint, files or [], sets or [], unknown)
    total = sum((score for _, score in scores), Score(0, 0.0, 0))
    if as_json:
        rows = [{"file": file} | _figures(score) for file, score in scores]
        render.write_json({"files": rows, "total": _figures(total)})
        return
    table = [("file", *COLUMNS), *((file, *_cells(score)) for file, score in scores)]
    if len(scores) > 1:
        table.append(("total", *_cells(total)))
    render.write_table(table)


def _score_split(path: Path, checkpoint: "Checkpoint", split: str) -> "Score":
    """The score of a part of the corpus that the run was trained on."""
    from grucli.data.windows import split as cut
    from grucli.evaluation import evaluate as score
    from grucli.storage.directory import own_corpus
    from grucli.threads import available_cores

    if split not in ("train", "val", "test"):
        raise UsageError(f"--split must be train, val or test, not {split}")
    part = getattr(cut(own_corpus(path, checkpoint).ids, checkpoint.settings.data), split)
    if len(part) < 2:
        raise UsageError(f"the run held out no {split} text: data.{split} was 0")
    return score(checkpoint.model_to_use(), part, available_cores())


def _score_files(
    checkpoint: "Checkpoint", files: list[str], sets: list[str], unknown: Any
) -> list[tuple[str, "Score"]]:
    """The score of each file, read as the corpus was or in the encoding given."""
    from grucli.config import parse_override, resolve

    if files.count("-") > 1:
        raise UsageError("- (standard input) is named twice; it can be read only once")
    values = {key: value for text in sets for key, value in parse_override(text).items()}
    if set(values) - {"data.encoding"}:
        raise UsageError("--set here takes data.encoding only; all else comes with the checkpoint")
    data = resolve([("--set", values)], checkpoint.settings).data
    return [(file, _score(checkpoint, file, data, unknown)) for file in files]


def _score(checkpoint: "Checkpoint", file: str, data: "Data", unknown: Any) -> "Score":
    import numpy as np

    from grucli.data.corpus import read
    from grucli.evaluation import evaluate as score
    from grucli.threads import available_cores

    try:
        text = read([file], data, checkpoint.vocabulary, unknown)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"{file}: {error}; --unknown skip leaves them out") from None
    if len(text.ids) < 2:
        raise CorpusError(
            f"{file}: the model knows {len(text.ids)} of its characters; it takes one to read and "
            "one to predict"
        )
    if text.rare:
        render.warn(f"{file}: {text.rare:,} rare characters are read as one unknown character")
    if text.skipped:
        render.warn(
            f"{file}: {text.skipped:,} characters that the model does not know are left out"
        )
    model, ids = checkpoint.model_to_use(), text.ids
    if (
        model.separator is not None and text.cached_ids is None
    ):  # its first line is begun as all others
        ids = np.concatenate([np.array([model.separator], ids.dtype), ids])
    return score(model, ids, available_cores())


def _figures(score: "Score") -> dict[str, float]:
    return {
        "characters": score.chars,
        "nats_per_char": score.loss,
        "bits_per_char": score.bits,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
    }


def _cells(score: "Score") -> tuple[str, ...]:
    return (
        f"{score.chars:,}",
        f"{score.loss:.4f}",
        f"{score.bits:.4f}",
        f"{score.perplexity:.3f}",
        f"{score.accuracy:.2%}",
    )
