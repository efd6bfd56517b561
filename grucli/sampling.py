"""Text from a model, one character at a time, several samples as one batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grucli.nn.functional import log_softmax
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids

PROMPT_WINDOW = 128
"""Characters of the prompt read at a time; changes the result by rounding alone."""


@dataclass(frozen=True)
class Choice:
    """How the next character is chosen from the model's distribution.

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable character.
        top_k: only the k most probable characters; None: all.
        top_p: only the fewest characters whose probabilities reach p; None: all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def draw(self, log_y: Array, uniform: Array) -> npt.NDArray[np.intp]:
        """One character a row.

        Args:
            log_y: log probabilities, (N, V).
            uniform: random numbers in [0, 1), (N,).
        """
        if self.temperature == 0:
            likeliest: npt.NDArray[np.intp] = log_y.argmax(axis=1)
            return likeliest
        p = log_y - log_y.max(axis=1, keepdims=True)
        p = p.astype(np.float64)  # float32 sums may pass 1
        with np.errstate(over="ignore"):  # minus infinity stands for a probability of zero
            p /= self.temperature
        np.exp(p, out=p)
        if self.top_k is not None and self.top_k < p.shape[1]:
            others = np.argpartition(-p, self.top_k - 1, axis=1)[:, self.top_k :]
            np.put_along_axis(p, others, 0.0, axis=1)
        if self.top_p is not None:
            _keep_nucleus_(p, self.top_p)
        cumulative = np.cumsum(p, axis=1)
        # a number in [0, total) falls within a character of probability above zero
        passed = cumulative <= uniform[:, None] * cumulative[:, -1:]
        drawn: npt.NDArray[np.intp] = passed.sum(axis=1)
        return drawn


def _keep_nucleus_(p: Array, top_p: float) -> None:
    """Zero all but the most probable characters that together reach ``top_p`` of each row."""
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # what the more probable ones reach
    ranked[before >= top_p * ranked.sum(axis=1, keepdims=True)] = 0.0
    np.put_along_axis(p, order, ranked, axis=1)


def generate(
    model: Model,
    counts: npt.NDArray[np.int64],
    prompt: Ids,
    *,
    length: int,
    choice: Choice,
    seed: int,
    samples: int = 1,
) -> Iterator[tuple[npt.NDArray[np.intp], Array]]:
    """Continue a prompt; without one, start from the zero state.

    The first character then comes from the corpus's own frequencies, since a model that has read
    nothing predicts nothing. Sample i draws from a random stream of its own.

    Args:
        model: the model.
        counts: how often each character occurs in the training text, (V,).
        prompt: ids, (N,); may be empty.
        length: characters to make.
        choice: how to choose them.
        seed: of all random streams.
        samples: how many samples to make side by side.

    Yields:
        For each character the ids, (samples,), and their log probabilities under the model at
        temperature 1, in nats.
    """
    streams = [np.random.default_rng([seed, number]) for number in range(samples)]
    state = model.zero_state(samples)
    if len(prompt):
        logits, state = read_prompt(model, prompt)
        logits, state = np.repeat(logits, samples, axis=0), np.repeat(state, samples, axis=1)
    else:
        with np.errstate(divide="ignore"):  # a character of count 0 is never drawn
            logits = np.repeat(np.log(counts / counts.sum())[None], samples, axis=0)
    room = model.workspace(1, samples)
    for position in range(length):
        log_y = log_softmax(logits)
        ids = choice.draw(log_y, np.array([stream.random() for stream in streams]))
        yield ids, log_y[np.arange(samples), ids]
        if position + 1 < length:
            logits, state = model.step(ids, state, room)


def read_prompt(model: Model, prompt: Ids) -> tuple[Array, Array]:
    """Read a prompt from the zero state: the next character's logits (1, V), and the state."""
    state = model.zero_state(1)
    for lo in range(0, len(prompt) - 1, PROMPT_WINDOW):
        x = np.asarray(prompt[lo : min(lo + PROMPT_WINDOW, len(prompt) - 1)], np.intp)[:, None]
        _, state = model.run(x, state, model.workspace(len(x), 1))
    return model.step(np.asarray(prompt[-1:], np.intp), state, model.workspace(1, 1))


def sample_ids(
    model: Model,
    counts: npt.NDArray[np.int64],
    prompt: Ids,
    *,
    length: int,
    choice: Choice,
    seed: int,
) -> npt.NDArray[np.intp]:
    """One whole sample, without its prompt, (length,)."""
    pieces = generate(model, counts, prompt, length=length, choice=choice, seed=seed)
    return np.array([ids[0] for ids, _ in pieces], np.intp)


class StopFilter:
    """Passes text on until one of the stop strings is complete; that string is not passed on.

    Args:
        stops: stop strings in the encoding of the text; none passes everything.
    """

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops = stops
        self.held = b""  # text that may turn out to be the start of a stop string
        self.stopped = False

    def add(self, piece: bytes) -> bytes:
        """What of the text so far is certain to be wanted and was not passed on before."""
        if self.stopped:
            return b""
        self.held += piece
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._pass_on(min(found))
        return self._pass_on(len(self.held) - self._undecided())

    def end(self) -> bytes:
        """The rest, once no more text follows."""
        return b"" if self.stopped else self._pass_on(len(self.held))

    def _undecided(self) -> int:
        """Length of the longest end of the text that a stop string starts with."""
        return max(
            (
                n
                for stop in self.stops
                for n in range(1, min(len(stop), len(self.held) + 1))
                if self.held.endswith(stop[:n])
            ),
            default=0,
        )

    def _pass_on(self, length: int) -> bytes:
        passed, self.held = self.held[:length], self.held[length:]
        return passed
