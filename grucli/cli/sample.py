"""``grucli sample``: generate text with a trained model."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from grucli.arguments import check_path, completed
from grucli.beams import Beam, search
from grucli.cli import render
from grucli.config import Data
from grucli.data.corpus import Corpus
from grucli.data.decoding import in_utf8
from grucli.data.documents import between, open_ended
from grucli.data.text_files import check_read_once, raw_chunks
from grucli.data.vocabulary import Unknown
from grucli.errors import CheckpointError, CorpusError, RunError, UnknownCharacterError, UsageError
from grucli.language_model import BeamOptions, DrawOptions, LanguageModel
from grucli.run.run import Run
from grucli.sampling import Piece, Samples, Tally
from grucli.text_out import to_bytes
from grucli.text_score import TextScore

LONGEST_PROMPT = 2**22  # bytes
FEW = 20_000  # characters up to which loading compiled code takes more time than it saves
FIGURES = 20  # log probabilities that are told, at most
MOST_AS_JSON = 2 * 10**6  # characters with --json; each takes about 300 bytes of memory


def sample(
    run: Path,
    own_cell: str | None = None,
    length: int = 500,
    prompt: str | None = None,
    prompt_file: str | None = None,
    unknown: Unknown = "error",
    count: int = 1,
    stop: list[str] | None = None,
    new: bool = False,
    not_in: list[str] | None = None,
    beam: int | None = None,
    separator: str | None = None,
    echo: bool = True,
    as_json: bool = False,
    raw: bool = False,
    **options: Unpack[DrawOptions],
) -> None:
    """Generate text like the corpus. If it has documents, such as lines, each sample is one.

    With --json, the log probability of each character is the model's own, at temperature 1.
    """
    opened = Run.open(run)
    lm = replace(opened.lm, compiled=False) if count * length < FEW or beam else opened.lm
    known = _known(opened, not_in or [], prompt_file, new=new)
    _check_beam(options, count, beam, compared=known is not None)
    read = read_prompt(lm, prompt, prompt_file, unknown)
    texts = BeamOptions(prompt=read, stop=list(map(_unescape, stop or [])), unknown=unknown)
    samples = lm.samples(beam or count, length, not_in=known, **texts, **options)
    _check_size(samples, as_json=as_json)
    beams = search(samples) if beam else []
    try:
        if as_json:
            _write_json(samples, beams, documents=lm.documents)
        else:
            _write(samples, beams, lm, separator, echo=echo, raw=raw)
    finally:
        if not as_json:
            _say_how(samples, beams, options["seed"])
        _say_tally(samples.tally, new=known is not None, distinct=options["distinct"])


def _check_size(samples: Samples, *, as_json: bool) -> None:
    if as_json and samples.count * max(1, samples.length) > MOST_AS_JSON:
        raise UsageError(
            "--json keeps all samples in memory, so --count (or --beam) times --length must be at "
            f"most {MOST_AS_JSON:,} characters; lower one of them, or leave --json out"
        )


def _known(
    run: Run, files: Sequence[str], prompt_file: str | None, *, new: bool
) -> list[Path | Corpus] | None:
    """The texts that samples are compared with; None if they are not."""
    check_read_once([prompt_file or "", *files])
    known: list[Path | Corpus] = [Path(check_path(file)) for file in files]
    if new:
        try:
            known.append(run.training_text)
        except (CheckpointError, CorpusError) as error:
            said = f"--new needs the training text: {error}"
            said += "; or name a text" * (not said.endswith("name a text"))
            raise type(error)(f"{said} with --not-in FILE, instead of --new") from None
    return known or None


def _check_beam(options: DrawOptions, count: int, beam: int | None, *, compared: bool) -> None:
    usual = completed(DrawOptions, {})
    names = [name for name, value in options.items() if value != usual[name]]
    names += ["count"] * (count != 1) + ["new or --not-in"] * compared
    if beam and names:
        wrong = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise UsageError(f"--beam draws nothing at random: leave out {wrong}, or leave out --beam")


def _write(
    samples: Samples,
    beams: Sequence[Beam],
    lm: LanguageModel,
    separator: str | None,
    *,
    echo: bool,
    raw: bool,
) -> None:
    """Write the beams, or else the samples; after Ctrl-C or SIGTERM, end the line."""
    apart = to_bytes(between(lm.data) if separator is None else _unescape(separator))
    # bytes go to a file without a line end at the end
    exact = lm.vocabulary.level == "byte" and not lm.documents and not render.on_terminal()
    end, put = b"" if exact else b"\n", render.write_raw if raw else render.write_words
    before, number = samples.prompt_data if echo else b"", -1
    found = (Piece(place, beam.data) for place, beam in enumerate(beams))
    try:
        for piece in found if beams else samples.pieces():
            begins, number = piece.number != number, piece.number
            start = (apart if number else b"") + before if begins else b""
            if not put(start + piece.data):
                return
        put(end)
    except (SystemExit, RunError):
        put(end if number >= 0 else b"")
        raise


def _say_how(samples: Samples, beams: Sequence[Beam], seed: int | None) -> None:
    """Say the log probabilities of beams, or the seed of samples if none was given."""
    if beams:
        figures = " ".join(f"{beam.log_prob:.2f}" for beam in beams[:FIGURES])
        more = f" ...; --json shows all {len(beams):,}" if len(beams) > FIGURES else ""
        render.say(f"log probabilities in nats: {figures}{more}", style="dim")
    elif seed is None:
        render.say(f"seed {samples.seed}; --seed {samples.seed} repeats this", style="dim")


def _write_json(samples: Samples, beams: Sequence[Beam], *, documents: bool) -> None:
    """Write the prompt and all samples, with the log probability of each symbol in nats."""
    prompt, rows = samples.prompt_data.decode(errors="replace"), list[dict[str, Any]]()
    if beams:
        rows = [_figures(one) | {"log_prob": one.log_prob, "ended": one.ended} for one in beams]
        render.write_json({"prompt": prompt, "beams": rows})
        return
    answer = {"seed": samples.seed, "prompt": prompt, "samples": rows}
    try:
        for sample in samples:
            ends = {"end_log_prob": sample.end_log_prob} if documents else {}
            rows.append(_figures(sample) | ends)
    except RunError:
        if rows:
            render.write_json(answer)
        raise
    render.write_json(answer)


def _figures(text: TextScore) -> dict[str, Any]:
    name = "char" if isinstance(text.symbols, str) else "byte"
    pairs = zip(text.symbols, text.log_probs.tolist(), strict=True)
    figures = [{name: symbol, "log_prob": log_prob} for symbol, log_prob in pairs]
    return {"text": text.text, f"{text.noun}s": figures}


def _say_tally(tally: Tally, *, new: bool, distinct: bool) -> None:
    """Say how many samples were thrown away, if some could be."""
    if tally.tried:
        share = f"{tally.accepted:,} of {tally.tried:,} tries fulfilled the condition"
        render.say(f"{share} ({tally.accepted / tally.tried:.2%})", style="dim")
    if tally.made:
        shares = [f"{tally.new / tally.made:.1%} were new"] * new
        kept = f"{tally.kept / tally.made:.1%}"
        shares += [f"{kept} new and distinct" if new else f"{kept} were distinct"] * distinct
        samples = f"{tally.made:,} sample{'s' * (tally.made > 1)}"
        render.say(f"of {samples}, {', '.join(shares)}", style="dim")


def read_prompt(lm: LanguageModel, prompt: str | None, file: str | None, unknown: Unknown) -> bytes:
    """The prompt as bytes, since it need not be UTF-8; say what the model cannot read of it."""
    if prompt is not None and file is not None:
        raise UsageError("--prompt and --prompt-file are both given; keep one")
    text = os.fsencode(prompt or "") if file is None else _in_file(file, lm.data)
    try:
        rare = lm.encode(text, unknown=unknown).tolist().count(lm.vocabulary.unknown_id)
    except CorpusError as error:
        raise CorpusError(f"{file or '--prompt'}: {error}") from None
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"prompt: {error}; --unknown skip leaves them out") from None
    if rare:
        render.warn(f"prompt: {rare} rare or new characters are read as one unknown character")
    if skipped := lm.count_unknown(text) * (unknown == "skip"):
        render.warn(f"prompt: {skipped:,} characters that the model does not know are left out")
    return text


def _in_file(file: str, data: Data) -> bytes:
    """A prompt without the end of its last document, which samples continue."""
    raw = next(raw_chunks(file, LONGEST_PROMPT + 1), b"")
    if len(raw) > LONGEST_PROMPT:
        raise CorpusError(
            f"{file}: the prompt has more than {LONGEST_PROMPT // 2**20} MiB; keep its end, "
            "which has the most effect"
        )
    raw = in_utf8(raw, data)
    begun = open_ended(raw, data)
    if begun and begun != raw:
        end = "its last line end" if data.documents == "line" else f"the end of its {data.document}"
        render.warn(f"{file}: {end} is left out, so that a sample continues the {data.document}")
    return begun


def _unescape(text: str) -> str:
    typed = os.fsencode(text).decode(errors="surrogateescape")
    escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda match: escapes[match[0]], typed)
