"""``grucli next``: the distribution of the next character."""

from pathlib import Path

from grucli.cli import render
from grucli.cli.sample import read_prompt
from grucli.data.vocabulary import Unknown
from grucli.run.run import load
from grucli.text_score import visible_symbols

SHOWN = 20  # rows of a table


def next(
    run: Path,
    own_cell: str | None = None,
    prompt: str | None = None,
    prompt_file: str | None = None,
    unknown: Unknown = "error",
    top: int | None = None,
    as_json: bool = False,
) -> None:
    """Show the probability of each character after a prompt, the likeliest first.

    They are the model's own, at temperature 1. Without a prompt, they are those of the first
    character: of a line or another document, if the model knows such; otherwise by frequency. A
    table has 20 rows, unless --top says more.
    """
    lm = load(run)
    found = lm.next(read_prompt(lm, prompt, prompt_file, unknown), unknown=unknown)
    level, figures = lm.vocabulary.level, (found.probabilities.tolist(), found.log_probs.tolist())
    records = [
        {level: symbol, "probability": p, "log_prob": log_p}
        for symbol, p, log_p in zip(found.symbols, *figures, strict=True)
    ][:top]
    shown = visible_symbols(found.symbols[: top or SHOWN])
    rows = [
        (one, f"{p:.6f}", f"{log_p:.4f}") for one, p, log_p in zip(shown, *figures, strict=False)
    ]
    if rest := figures[0][len(rows) :]:
        rows.append((f"{len(rest):,} others", f"{sum(rest):.6f}", ""))
    table = render.table([(lm.vocabulary.noun, "probability", "log_prob"), *rows])
    render.answer({"next": records}, table, as_json=as_json)
