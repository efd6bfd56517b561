"""``grucli sample``: generate text with a trained model."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from grucli.cli import render
from grucli.data.text_files import STANDARD_INPUT
from grucli.data.vocabulary import Unknown, Vocabulary
from grucli.errors import CorpusError, UnknownCharacterError, UsageError
from grucli.language_model import LanguageModel
from grucli.run.run import load
from grucli.sampling import Sample, Samples

LONGEST_PROMPT = 2**22  # bytes
MOST_AS_JSON = 2 * 10**6  # characters with --json; each takes about 300 bytes of memory


def sample(
    run: Path,
    length: int = 500,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    prompt: str | None = None,
    prompt_file: str | None = None,
    unknown: Unknown = "error",
    count: int = 1,
    stop: list[str] | None = None,
    separator: str | None = None,
    seed: int | None = None,
    echo: bool = True,
    as_json: bool = False,
    raw: bool = False,
) -> None:
    """Generate text like the corpus. If the corpus is a list, each sample is one line.

    With --json, the log probability of each character is the model's own, at temperature 1.
    """
    if as_json:
        _check_memory(count, length)
    prompt_data, lm = _prompt_bytes(prompt, prompt_file), load(run)
    if lm.documents and prompt_file:
        prompt_data = _without_line_end(prompt_data, prompt_file)
    with _source_named(prompt_file or "--prompt"):
        samples = lm.samples(
            count,
            length,
            prompt=prompt_data,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=[_unescape(text) for text in stop or []],
            unknown=unknown,
        )
    with nullcontext() if as_json else _ended(samples.seed, _last_end(lm), drawn=seed is None):
        _show(samples, lm, prompt_data, separator, echo=echo, as_json=as_json, raw=raw)


def _last_end(lm: LanguageModel) -> bytes:
    """A line end, but nothing after bytes that go to a file."""
    exact = lm.vocabulary.level == "byte" and not lm.documents and not render.on_terminal()
    return b"" if exact else b"\n"


@contextmanager
def _ended(seed: int, end: bytes, *, drawn: bool) -> Iterator[None]:
    """Say a seed that was drawn after the samples; after Ctrl-C or SIGTERM, first end the line."""
    try:
        yield
    except SystemExit:
        render.write_raw(end)
        raise
    finally:
        if drawn:
            render.say(f"seed {seed}; --seed {seed} repeats this", style="dim")


def _show(
    samples: Samples,
    lm: LanguageModel,
    prompt_data: bytes,
    separator: str | None,
    *,
    echo: bool,
    as_json: bool,
    raw: bool,
) -> None:
    if rare := samples.vocabulary.count_unknown(samples.prompt):
        render.warn(f"prompt: {rare} rare or new characters are read as one unknown character")
    if (skipped := lm.count_unknown(prompt_data) - rare) > 0:
        render.warn(f"prompt: {skipped:,} characters that the model does not know are left out")
    if as_json:
        _write_json(samples, documents=lm.documents)
        return
    between = ("\\n" if lm.documents else "\\n---\\n") if separator is None else separator
    _write(samples, _unescape(between).encode(), _last_end(lm), echo=echo, raw=raw)


@contextmanager
def _source_named(source: str) -> Iterator[None]:
    """Add the source of the prompt to error messages of the library."""
    try:
        yield
    except CorpusError as error:
        raise CorpusError(f"{source}: {error}") from None
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"prompt: {error}; --unknown skip leaves them out") from None


def _write(samples: Samples, separator: bytes, end: bytes, *, echo: bool, raw: bool) -> None:
    put = render.write if render.on_terminal() and not raw else render.write_raw
    before, number = samples.prompt_data if echo else b"", -1
    for piece in samples.pieces():
        begins, number = piece.number != number, piece.number
        start = (separator if number else b"") + before if begins else b""
        if not put(start + piece.data):
            return
    put(end)


def _write_json(samples: Samples, *, documents: bool) -> None:
    """Write the prompt and all samples, with the log probability of each symbol in nats."""
    prompt = samples.prompt_data.decode(errors="replace")
    symbols = samples.vocabulary
    rows = [_figures(sample, symbols, documents=documents) for sample in samples]
    render.write_json({"seed": samples.seed, "prompt": prompt, "samples": rows})


def _figures(sample: Sample, symbols: Vocabulary, *, documents: bool) -> dict[str, Any]:
    """Return a sample for JSON; a document has the log probability of its end, too."""
    pairs = zip(sample.symbols, sample.log_probs.tolist(), strict=True)
    figures: dict[str, Any] = {
        "text": sample.text,
        f"{symbols.noun}s": [{symbols.level: one, "log_prob": log_prob} for one, log_prob in pairs],
    }
    return figures | {"end_log_prob": sample.end_log_prob} if documents else figures


def _check_memory(count: int, length: int) -> None:
    if count * max(1, length) > MOST_AS_JSON:
        raise UsageError(
            "--json keeps all samples in memory, so --count times --length must be at most "
            f"{MOST_AS_JSON:,} characters; lower one of them, or leave --json out"
        )


def _prompt_bytes(prompt: str | None, file: str | None) -> bytes:
    """Return the prompt as bytes, because the command line and files need not be UTF-8."""
    if prompt is not None and file is not None:
        raise UsageError("--prompt and --prompt-file are both given; keep one")
    return os.fsencode(prompt or "") if file is None else _read_prompt(file)


def _read_prompt(source: str) -> bytes:
    if source == STANDARD_INPUT and sys.stdin is None:
        raise CorpusError("-: standard input is closed")
    try:
        with (
            Path(source).open("rb")
            if source != STANDARD_INPUT
            else nullcontext(sys.stdin.buffer) as file
        ):
            raw = file.read(LONGEST_PROMPT + 1)
    except OSError as error:
        raise CorpusError(f"{source}: cannot read the prompt: {error.strerror}") from None
    if len(raw) > LONGEST_PROMPT:
        raise CorpusError(
            f"{source}: the prompt has more than {LONGEST_PROMPT // 2**20} MiB; keep its end, "
            "which has the most effect"
        )
    return raw


def _without_line_end(prompt: bytes, source: str) -> bytes:
    """Return a prompt without the line end that would end the line which it begins."""
    begun = prompt.removesuffix(b"\n").removesuffix(b"\r")
    if begun and begun != prompt:
        render.warn(f"{source}: its last line end is left out, so that a sample continues the line")
    return begun


def _unescape(text: str) -> str:
    escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda match: escapes[match[0]], render.typed(text))
