"""The parameters of a sweep: settings that have a range of values instead of a value."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml

from grucli.config import Settings, to_scalar

FORMS = "{choice: [128, 256]}, {range: [0.0, 0.6]}, {range: [1, 4], step: 1} or {log: [1e-3, 3e-2]}"
"""What a file can give instead of a value."""


MOST = 10**9
"""Maximum number of steps in a range; Optuna computes with them in decimal numbers."""


class RangeError(ValueError):
    """A range that is none of ``FORMS``, or does not suit its setting."""


@dataclass(frozen=True)
class Choice:
    """A setting with a list of values.

    Attributes:
        key: the setting, by dotted key.
        values: its values, all different.
    """

    key: str
    values: tuple[Any, ...]

    @property
    def labels(self) -> list[Any]:
        """The values in a form that Optuna can store: lists become texts."""
        plain = (bool, int, float, str, type(None))
        return [one if isinstance(one, plain) else to_scalar(one) for one in self.values]

    @property
    def points(self) -> Sequence[Any]:
        """All values, for a grid."""
        return self.values

    @property
    def to_check(self) -> Sequence[Any]:
        """The values that must be possible."""
        return self.values

    def label(self, value: Any) -> Any:
        """The label of a value."""
        return self.labels[self.values.index(value)]

    def value(self, label: Any) -> Any:
        """The value of a label."""
        return self.values[self.labels.index(label)]

    def to_dict(self) -> dict[str, Any]:
        """The parameter for JSON."""
        return {"choice": [list(one) if isinstance(one, tuple) else one for one in self.values]}


@dataclass(frozen=True)
class Range:
    """A setting with a range of numbers; both ends belong to it.

    Attributes:
        key: the setting, by dotted key.
        low: the lowest number.
        high: the highest number.
        step: the distance of neighbours; None if all numbers are possible.
        log: whether equal factors are equally likely, instead of equal differences.
        whole: whether the numbers are integers.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def points(self) -> Sequence[float] | None:
        """All numbers, for a grid; None if there are too many to list."""
        step = 1 if self.whole and self.step is None else self.step
        if step is None or (self.high - self.low) / step > 10_000:
            return None
        count = 1 + math.floor((self.high - self.low) / step + 1e-9)
        return [self.low + number * step for number in range(count)]

    @property
    def to_check(self) -> Sequence[float]:
        """The numbers that must be possible; those between them are possible, too."""
        return self.low, self.high

    def label(self, value: Any) -> Any:
        """The number as Optuna stores it."""
        return value

    def value(self, label: Any) -> Any:
        """The number that Optuna has stored."""
        return int(label) if self.whole else float(label)

    def to_dict(self) -> dict[str, Any]:
        """The parameter for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "key"}


Parameter = Choice | Range


def parameter(key: str, given: Any) -> Parameter:
    """Read what a file gives instead of a value.

    Raises:
        RangeError: it is none of ``FORMS``, or does not suit the setting.
    """
    kinds = {"choice", "range", "log"} & set(given)
    unknown = set(given) - kinds - {"step"}
    if len(kinds) != 1 or unknown:
        raise RangeError(f"write {FORMS}, not {_shown(given)}")
    (kind,) = kinds
    if kind == "choice":
        if "step" in given:
            raise RangeError("step belongs to range, not to choice")
        return _choice(key, given["choice"])
    return _range(key, given[kind], given.get("step"), log=kind == "log")


def _choice(key: str, values: Any) -> Choice:
    if not isinstance(values, list) or not values:
        raise RangeError(f"choice must be a list of values, not {_shown(values)}")
    frozen = [tuple(one) if isinstance(one, list) else one for one in values]
    if any(isinstance(one, dict) for one in frozen):
        raise RangeError(f"a choice cannot contain ranges: {_shown(values)}")
    texts = [to_scalar(one) for one in frozen]
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise RangeError(f"choice has {twice[0]} twice")
    return Choice(key, tuple(frozen))


def _range(key: str, ends: Any, step: Any, *, log: bool) -> Range:
    name, whole = "log" if log else "range", _is_whole(key)
    if whole is None:
        raise RangeError(f"is not a number, so it cannot have a {name}; write a choice")
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_number, ends)):
        raise RangeError(f"{name} must be two numbers, as in [1, 4], not {_shown(ends)}")
    low, high = ends
    if not low < high:
        raise RangeError(f"the first number of {name} must be the lower one, not {_shown(ends)}")
    if log and low <= 0:
        raise RangeError(f"log needs numbers above 0, not {_shown(ends)}")
    if step is not None and log:
        raise RangeError("step belongs to range, not to log")
    if step is not None and not (_is_number(step) and 0 < step <= high - low):
        raise RangeError(f"step must be a number above 0 that fits the range, not {_shown(step)}")
    if step is not None and step < (high - low) / MOST:
        raise RangeError(f"step {_shown(step)} divides the range into more than {MOST:,} parts")
    if whole and any(not isinstance(one, int) for one in (low, high, step or 1)):
        raise RangeError(f"is an integer, so the numbers of {name} and step must be integers")
    if step is not None:  # Optuna wants ends that a whole number of steps connects
        high = low + math.floor((high - low) / step + 1e-9) * step
    number = int if whole else float
    return Range(key, number(low), number(high), step and number(step), log=log, whole=whole)


def _is_number(value: Any) -> bool:
    # beyond this, the difference of two numbers may be infinite
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_whole(key: str) -> bool | None:
    """Whether a setting is an integer; None if it is no number."""
    section, _, name = key.partition(".")
    found = _types(type(getattr(Settings(), section)).model_fields[name].annotation)
    return False if float in found else True if int in found else None


def _types(annotation: Any) -> set[Any]:
    """The types that an annotation allows."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return set().union(*map(_types, get_args(annotation)))
    return {annotation}


def _shown(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9)
    text = text.removesuffix("\n...\n").strip()
    return text if len(text) <= 80 else f"{text[:80]}..."
