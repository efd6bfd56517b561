"""``grucli sample``: text from a trained model."""

import codecs
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from grucli.cli import render
from grucli.errors import CorpusError, UnknownCharacterError, UsageError
from grucli.threads import limit_product_threads, product_threads, side_by_side

if TYPE_CHECKING:
    from grucli.data.vocabulary import Vocabulary
    from grucli.sampling import StopFilter
    from grucli.storage.checkpoint import Checkpoint

    Made = Iterator[tuple[Any, Any]]
LONGEST_PROMPT = 2**22
"""Bytes of a prompt."""

LONGEST_STOP = 1000
"""Characters of a text that ends a sample: its beginnings are looked for at each character."""

MOST_AS_JSON = 2 * 10**6
"""Characters that are held as JSON, at some 300 bytes each."""


Run = Annotated[Path, typer.Argument(help="A run directory or a checkpoint.", metavar="RUN|CKPT")]
Length = Annotated[
    int, typer.Option("--length", "-n", min=0, help="Characters to make.", metavar="N")
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temperature",
        "-t",
        help="Below 1 keeps to the likely, above 1 dares more, 0 takes the likeliest.",
        metavar="T",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option("--top-k", min=1, help="Choose among the K likeliest only.", metavar="K"),
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", help="Choose among the fewest that reach P together.", metavar="P"),
]
Prompt = Annotated[
    str | None, typer.Option("--prompt", "-p", help="Text to continue.", metavar="TEXT")
]
PromptFile = Annotated[
    str | None,
    typer.Option("--prompt-file", help="File to continue; - reads standard input.", metavar="FILE"),
]
Unknown = Annotated[
    Literal["error", "skip"],
    typer.Option(
        "--unknown",
        help="Characters that the model never saw: error or skip.",
        metavar="error|skip",
    ),
]
Count = Annotated[int, typer.Option("--count", "-c", min=1, help="Samples to make.", metavar="N")]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        help="End a sample before this text; \\n, \\t and \\\\ are understood.",
        metavar="TEXT",
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="What stands between samples [a line of three dashes; a line end between documents].",
        metavar="TEXT",
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Makes a sample repeatable.", metavar="N")
]
Echo = Annotated[
    bool, typer.Option("--echo/--no-echo", help="Print the prompt before its continuation.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, with the log probability of each character.")
]
Raw = Annotated[
    bool, typer.Option("--raw", help="Send control characters to the terminal as they are.")
]


def sample(
    run: Run,
    length: Length = 500,
    temperature: Temperature = 0.8,
    top_k: TopK = None,
    top_p: TopP = None,
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    unknown: Unknown = "error",
    count: Count = 1,
    stop: Stop = None,
    separator: Separator = None,
    seed: Seed = None,
    echo: Echo = True,
    as_json: AsJson = False,
    raw: Raw = False,
) -> None:
    """Write text like the corpus, as it is made; from a list, one line a sample."""
    _check(temperature, top_p, prompt, prompt_file)
    _check_sizes(length, count, stop or [], as_json)
    limit_product_threads(product_threads(side_by_side(count, length)))
    import secrets

    from grucli.sampling import Sampler
    from grucli.storage.directory import open_checkpoint

    _, checkpoint = open_checkpoint(run)
    given = os.fsencode(prompt or "") if prompt_file is None else _read_prompt(prompt_file)
    request = _Request(
        checkpoint=checkpoint,
        prompt=_encode(checkpoint.vocabulary, given, prompt_file or "--prompt", unknown),
        length=length,
        sampler=Sampler(temperature, top_k, top_p, never=checkpoint.vocabulary.unknown_id),
        seed=secrets.randbits(32) if seed is None else seed,
        count=count,
        stops=[_unescape(text).encode() for text in stop or []],
    )
    read = checkpoint.vocabulary.decode(request.prompt) if unknown == "skip" else given
    read = read.removeprefix(codecs.BOM_UTF8)
    if as_json:
        render.write_json(request.as_json(read))
        return
    if separator is None:
        separator = "\\n" if request.documents else "\\n---\\n"
    put = render.write_raw if raw else render.write
    request.write(put, read if echo else b"", _unescape(separator).encode())
    if seed is None:
        render.say(f"seed {request.seed}; --seed {request.seed} repeats this", style="dim")


class _Request:
    """What was asked for, and the ways to answer it."""

    def __init__(
        self,
        checkpoint: "Checkpoint",
        prompt: Any,
        length: int,
        sampler: Any,
        seed: int,
        count: int,
        stops: Sequence[bytes],
    ) -> None:
        self.checkpoint, self.vocabulary, self.prompt = checkpoint, checkpoint.vocabulary, prompt
        self.length, self.sampler, self.seed, self.count = length, sampler, seed, count
        self.documents = checkpoint.settings.data.documents is not None
        self.ends = [*stops, b"\n"] if self.documents else stops

    def _groups(self) -> "Iterator[tuple[int, list[StopFilter], Made]]":
        """Samples that are made side by side: the first one's number, filters, characters."""
        from grucli.sampling import StopFilter, choose_threads, generate

        model, size = self.checkpoint.model_to_use(), side_by_side(self.count, self.length)
        for first in range(0, self.count, size):
            samples = min(size, self.count - first)
            filters = [StopFilter(self.ends) for _ in range(samples)]
            made = generate(
                model,
                self.checkpoint.counts,
                self.prompt,
                length=self.length,
                sampler=self.sampler,
                seed=self.seed,
                samples=samples,
                first=first,
                threads=choose_threads(samples, model.H),
            )
            yield first, filters, _until_all_end(filters, made)

    def write(self, put: Callable[[bytes], None], before: bytes, separator: bytes) -> None:
        """Write samples, the first of each group as it is made, and the others after it."""
        for first, filters, characters in self._groups():
            texts = [bytearray() for _ in filters]
            put((separator if first else b"") + before)
            for ids, _ in characters:
                for number, stops in enumerate(filters):
                    piece = stops.add(self.vocabulary.decode(ids[number : number + 1]))
                    if number:
                        texts[number] += piece
                    elif piece:
                        put(piece)
            put(filters[0].end())
            for text, stops in zip(texts[1:], filters[1:], strict=True):
                put(separator + before + text + stops.end())
        put(b"\n")

    def as_json(self, prompt: bytes) -> dict[str, Any]:
        """The prompt, and all samples with the log probability of each character, in nats."""
        samples = [
            sample
            for _, filters, characters in self._groups()
            for sample in self._group_as_json(filters, characters)
        ]
        return {"seed": self.seed, "prompt": prompt.decode(errors="replace"), "samples": samples}

    def _group_as_json(
        self, filters: "list[StopFilter]", characters: "Made"
    ) -> list[dict[str, Any]]:
        from grucli.nn.functional import log_softmax

        made: list[list[dict[str, Any]]] = [[] for _ in filters]
        texts = [bytearray() for _ in filters]
        for ids, logits in characters:
            log_y = log_softmax(logits)
            for number, stops in enumerate(filters):
                if stops.stopped:
                    continue
                symbol = self.vocabulary.decode(ids[number : number + 1])
                texts[number] += stops.add(symbol)
                made[number].append(self._character(symbol, float(log_y[number, ids[number]])))
        whole = [bytes(text + stops.end()) for text, stops in zip(texts, filters, strict=True)]
        return [self._sample(*pair) for pair in zip(whole, made, strict=True)]

    def _sample(self, text: bytes, characters: list[dict[str, Any]]) -> dict[str, Any]:
        """A sample; of a document also the log probability of its end, if it has come to it."""
        length = self._length(text)
        sample: dict[str, Any] = {
            "text": text.decode(errors="replace"),
            "characters": characters[:length],
        }
        if self.documents:
            ends = [
                one["log_prob"]
                for one in characters[length : length + 1]
                if one.get("char") == "\n" or one.get("byte") == ord("\n")
            ]
            sample["end_log_prob"] = ends[0] if ends else None
        return sample

    def _character(self, symbol: bytes, log_prob: float) -> dict[str, Any]:
        if self.vocabulary.level == "byte":
            return {"byte": symbol[0], "log_prob": log_prob}
        return {"char": symbol.decode(), "log_prob": log_prob}

    def _length(self, text: bytes) -> int:
        return len(text) if self.vocabulary.level == "byte" else len(text.decode())


def _until_all_end(filters: "list[StopFilter]", made: "Made") -> "Made":
    """What is made, until no sample wants more."""
    for step in made:
        yield step
        if all(stops.stopped for stops in filters):
            return


def _check_sizes(length: int, count: int, stops: list[str], as_json: bool) -> None:
    if "" in stops:
        raise UsageError("--stop needs a text; an empty one would end every sample at once")
    if any(len(text) > LONGEST_STOP for text in stops):
        raise UsageError(f"--stop takes texts of at most {LONGEST_STOP:,} characters")
    if as_json and count * max(1, length) > MOST_AS_JSON:
        raise UsageError(
            f"--json holds all samples in memory, so --count times --length is {MOST_AS_JSON:,} "
            "characters at most; lower one of them, or leave --json out"
        )


def _check(
    temperature: float,
    top_p: float | None,
    prompt: str | None,
    prompt_file: str | None,
) -> None:
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UsageError(f"--temperature must be 0 or above, not {temperature}; 0.8 is usual")
    if top_p is not None and not 0 < top_p <= 1:
        raise UsageError(f"--top-p must be above 0 and at most 1, not {top_p}; 0.95 is usual")
    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file are both given; keep one")


def _read_prompt(source: str) -> bytes:
    try:
        with _open_prompt(source) as file:
            raw = file.read(LONGEST_PROMPT + 1)
    except OSError as error:
        raise CorpusError(f"{source}: cannot read the prompt: {error.strerror}") from None
    if len(raw) > LONGEST_PROMPT:
        raise CorpusError(
            f"{source}: a prompt of more than {LONGEST_PROMPT // 2**20} MiB; keep its end, which "
            "counts most"
        )
    return raw


def _open_prompt(source: str) -> AbstractContextManager[BinaryIO]:
    if source != "-":
        return Path(source).open("rb")
    if sys.stdin is None:
        raise CorpusError("-: standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _encode(vocabulary: "Vocabulary", raw: bytes, source: str, unknown: Any) -> Any:
    """Ids of a prompt: at byte level of its bytes, else of its text."""
    try:
        if vocabulary.level == "byte":
            return vocabulary.encode_bytes(raw, unknown)
        text = raw.decode("utf-8-sig")
        ids = vocabulary.encode(text, unknown)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{source}: byte 0x{raw[error.start]:02x} at offset {error.start:,} of the prompt is "
            "not UTF-8; convert the file"
        ) from None
    except UnknownCharacterError as error:
        raise UnknownCharacterError(
            f"prompt: {error}; --unknown skip goes on without them"
        ) from None
    rare = 0 if vocabulary.unknown_id is None else int((ids == vocabulary.unknown_id).sum())
    if rare:
        render.warn(f"prompt: {rare} rare or new characters are read as one unknown character")
    return ids


def _unescape(text: str) -> str:
    escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
    import re

    return re.sub(r"\\[nt\\]", lambda match: escapes[match[0]], render.typed(text))
