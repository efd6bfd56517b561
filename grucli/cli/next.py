"""``grucli next``: the distribution of the next character."""

from pathlib import Path

from grucli.cli import render
from grucli.cli.sample import prompt_bytes
from grucli.data.vocabulary import Unknown
from grucli.errors import UnknownCharacterError
from grucli.run.run import load
from grucli.text_score import visible_symbols

SHOWN = 20  # rows of a table


def next(
    run: Path,
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
    text = prompt_bytes(prompt, prompt_file, lm.data)
    try:
        found = lm.next(text, unknown=unknown)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"prompt: {error}; --unknown skip leaves them out") from None
    if skipped := lm.count_unknown(text) * (unknown == "skip"):
        render.warn(f"prompt: {skipped:,} characters that the model does not know are left out")
    names, level = ("probability", "log_prob"), lm.vocabulary.level
    figures = list(zip(found.probabilities.tolist(), found.log_probs.tolist(), strict=True))
    records = [
        {level: symbol, **dict(zip(names, both, strict=True))}
        for symbol, both in zip(found.symbols[:top], figures, strict=False)
    ]
    shown = list(visible_symbols(found.symbols[: top or SHOWN]))
    rows = [(one, f"{p:.6f}", f"{log:.4f}") for one, (p, log) in zip(shown, figures, strict=False)]
    if rest := found.probabilities[len(shown) :].tolist():
        rows.append((f"{len(rest):,} others", f"{sum(rest):.6f}", ""))
    table = render.table([(lm.vocabulary.noun, *names), *rows])
    render.answer({"next": records}, table, as_json=as_json)
