"""``grucli sample``: generate text with a trained model."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from grucli.cli import render
from grucli.data.text_files import raw_chunks
from grucli.data.vocabulary import Unknown
from grucli.errors import CorpusError, UnknownCharacterError, UsageError
from grucli.language_model import DrawOptions, LanguageModel, SampleOptions
from grucli.run.run import load
from grucli.sampling import Samples

LONGEST_PROMPT = 2**22  # bytes
FEW = 20_000  # characters up to which loading compiled code takes more time than it saves
MOST_AS_JSON = 2 * 10**6  # characters with --json; each takes about 300 bytes of memory


def sample(
    run: Path,
    length: int = 500,
    prompt: str | None = None,
    prompt_file: str | None = None,
    unknown: Unknown = "error",
    count: int = 1,
    stop: list[str] | None = None,
    separator: str | None = None,
    echo: bool = True,
    as_json: bool = False,
    raw: bool = False,
    **options: Unpack[DrawOptions],
) -> None:
    """Generate text like the corpus. If the corpus is a list, each sample is one line.

    With --json, the log probability of each character is the model's own, at temperature 1.
    """
    lm = _load(run, count * length)
    read = _prompt_bytes(prompt, prompt_file, documents=lm.documents)
    stops = [_unescape(text) for text in stop or []]
    source = prompt_file or "--prompt"
    samples = _begin(lm, source, count, length, prompt=read, stop=stops, unknown=unknown, **options)
    if as_json:
        _write_json(samples, documents=lm.documents)
    else:
        _write(samples, lm, separator, echo=echo, raw=raw, drawn=options["seed"] is None)
    accepted, tried = samples.tally.accepted, samples.tally.tried
    if tried:
        share = f"{accepted:,} of {tried:,} tries fulfilled the condition ({accepted / tried:.2%})"
        render.say(share, style="dim")


def _load(run: Path, characters: int) -> LanguageModel:
    lm = load(run)
    return lm if characters >= FEW else replace(lm, compiled=False)


def _begin(
    lm: LanguageModel, source: str, count: int, length: int, **options: Unpack[SampleOptions]
) -> Samples:
    """The samples, which are not made yet; messages name the source of the prompt."""
    try:
        samples = lm.samples(count, length, **options)
    except CorpusError as error:
        raise CorpusError(f"{source}: {error}") from None
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"prompt: {error}; --unknown skip leaves them out") from None
    if rare := samples.vocabulary.count_unknown(samples.prompt):
        render.warn(f"prompt: {rare} rare or new characters are read as one unknown character")
    if (skipped := lm.count_unknown(options["prompt"]) - rare) > 0:
        render.warn(f"prompt: {skipped:,} characters that the model does not know are left out")
    return samples


def _write(
    samples: Samples,
    lm: LanguageModel,
    separator: str | None,
    *,
    echo: bool,
    raw: bool,
    drawn: bool,
) -> None:
    """Write the samples, and say a seed that was drawn; after Ctrl-C or SIGTERM, end the line."""
    default = "\\n" if lm.documents else "\\n---\\n"
    between = _unescape(default if separator is None else separator).encode()
    # bytes go to a file without a line end at the end
    exact = lm.vocabulary.level == "byte" and not lm.documents and not render.on_terminal()
    end, put = b"" if exact else b"\n", render.write_raw if raw else render.write
    before, number = samples.prompt_data if echo else b"", -1
    try:
        for piece in samples.pieces():
            begins, number = piece.number != number, piece.number
            start = (between if number else b"") + before if begins else b""
            if not put(start + piece.data):
                return
        put(end)
    except SystemExit:
        render.write_raw(end)
        raise
    finally:
        if drawn:
            render.say(f"seed {samples.seed}; --seed {samples.seed} repeats this", style="dim")


def _write_json(samples: Samples, *, documents: bool) -> None:
    """Write the prompt and all samples, with the log probability of each symbol in nats."""
    if samples.count * max(1, samples.length) > MOST_AS_JSON:
        raise UsageError(
            "--json keeps all samples in memory, so --count times --length must be at most "
            f"{MOST_AS_JSON:,} characters; lower one of them, or leave --json out"
        )
    symbols, rows = samples.vocabulary, list[dict[str, Any]]()
    for sample in samples:
        pairs = zip(sample.symbols, sample.log_probs.tolist(), strict=True)
        figures = [{symbols.level: symbol, "log_prob": log_prob} for symbol, log_prob in pairs]
        rows.append({"text": sample.text, f"{symbols.noun}s": figures})
        if documents:
            rows[-1]["end_log_prob"] = sample.end_log_prob
    prompt = samples.prompt_data.decode(errors="replace")
    render.write_json({"seed": samples.seed, "prompt": prompt, "samples": rows})


def _prompt_bytes(prompt: str | None, file: str | None, *, documents: bool) -> bytes:
    """The prompt as bytes, since the command line and files need not be UTF-8.

    A line that a file begins is continued, though the file has a line end after it.
    """
    if prompt is not None and file is not None:
        raise UsageError("--prompt and --prompt-file are both given; keep one")
    if file is None:
        return os.fsencode(prompt or "")
    raw = next(raw_chunks(file, LONGEST_PROMPT + 1), b"")
    if len(raw) > LONGEST_PROMPT:
        raise CorpusError(
            f"{file}: the prompt has more than {LONGEST_PROMPT // 2**20} MiB; keep its end, "
            "which has the most effect"
        )
    if not documents:
        return raw
    begun = raw.removesuffix(b"\n").removesuffix(b"\r")
    if begun and begun != raw:
        render.warn(f"{file}: its last line end is left out, so that a sample continues the line")
    return begun


def _unescape(text: str) -> str:
    escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda match: escapes[match[0]], render.typed(text))
