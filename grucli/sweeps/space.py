"""What a sweep file asks for: settings with a range of values, fixed settings, and options."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grucli.config import (
    BUDGET_KEYS,
    Settings,
    Values,
    flatten,
    in_our_words,
    read_file,
    resolve,
    short,
    to_scalar,
    without_former,
)
from grucli.errors import SettingsError

FORMS = "{choice: [128, 256]}, {range: [0.0, 0.6]}, {range: [1, 4], step: 1} or {log: [1e-2, 2e-1]}"
MOST_STEPS = 10**9  # of a range; Optuna computes with them in decimal numbers
MOST_POINTS = 10_000  # of a range in a grid
LARGEST_GRID = 10**6  # points
ROUNDING = 1e-9  # part of a step by which the end of a range may miss a whole number of steps

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
DEFAULTS = flatten(Settings())


class Options(BaseModel):
    """The section ``sweep`` of a sweep file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    trials: int | None = Field(default=None, ge=1, le=10**6)
    minutes: float | None = Field(default=None, gt=0, le=1e7)
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["hyperband", "median", "none"] = "median"
    seed: int = Field(default=0, ge=0, lt=2**63)


@dataclass(frozen=True)
class Space:
    """What a sweep file asks for."""

    distributions: Mapping[str, Distribution]  # the settings that have a range, by dotted key
    fixed: Values  # all other settings, by dotted key
    options: Options
    source: str  # for messages

    @property
    def trials(self) -> int | None:
        """The number of trials of the whole study; None if only time limits it."""
        grid = self.grid_size if self.options.sampler == "grid" else None
        return min(filter(None, (self.options.trials, grid)), default=None)

    @cached_property
    def grid_size(self) -> int:
        return math.prod(len(points(one) or ()) for one in self.distributions.values())

    @cached_property
    def _order(self) -> Any:
        """The order of the points of the grid: shuffled, so that a part of it covers all of it."""
        return np.random.default_rng(self.options.seed).permutation(self.grid_size)

    def grid_point(self, number: int) -> Values:
        """What Optuna stores for trial ``number``; numbers after the last point begin anew."""
        choices = {key: points(one) or () for key, one in self.distributions.items()}
        place = self._order[number % self.grid_size]
        indices = np.unravel_index(place, [*map(len, choices.values())], order="F")
        return {key: some[at] for (key, some), at in zip(choices.items(), indices, strict=True)}


# ---- the sweep file


def read_space(
    config: Path | None, settings: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> Space:
    """Read and check a sweep file, settings with priority over it, and those in ``base``."""
    values = {**(base or {}), **(read_file(config) if config else {}), **settings}
    source = str(config) if config else "settings"
    own = {key: value for key, value in values.items() if key.startswith("sweep.")}
    ranges = {key: one for key, one in values.items() if isinstance(one, dict) and key not in own}
    others = {key: one for key, one in values.items() if key not in own and key not in ranges}
    fixed = without_former(others)
    options, distributions, problems = Options(), dict[str, Distribution](), list[str]()
    try:
        options = Options.model_validate({key.partition(".")[2]: own[key] for key in own})
    except ValidationError as error:
        problems += [f"{source}: {_explained(dict(item))}" for item in error.errors()]
    problems += _problems(source, fixed)
    for key, form in ranges.items():
        try:
            distributions[key] = _checked_distribution(key, form, source)
        except SettingsError as error:
            problems += str(error).splitlines()
    space = Space(distributions, fixed, options, source)
    problems = problems or [f"{source}: {problem}" for problem in _problems_of_the_whole(space)]
    if problems:
        raise SettingsError("\n".join(dict.fromkeys(problems)))
    held_out = resolve([(source, fixed)]).data.files  # with absolute paths, for other directories
    space.fixed.update({f"data.{name}": list(paths) for name, paths in held_out.items()})
    return space


def _explained(item: Mapping[str, Any]) -> str:
    key = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"unknown key sweep.{key}; sweep has {', '.join(Options.model_fields)}"
    return f"sweep.{key}: {in_our_words(item['msg'])}, not {item['input']!r}"


def _problems(source: str, values: Values) -> list[str]:
    """The lines of the message about some settings; no line if they are possible."""
    try:
        resolve([(source, values)])
    except SettingsError as error:
        return str(error).splitlines()
    return []


def _checked_distribution(key: str, form: Any, source: str) -> Distribution:
    """The distribution of a setting; SettingsError if not all of its values are possible."""
    if key not in DEFAULTS:
        resolve([(source, {key: None})])
    try:
        distribution = _distribution(key, form)
    except SettingsError as error:
        raise SettingsError(f"{source}: {key}: {error}") from None
    # what lies between two possible numbers is possible, too
    if isinstance(distribution, CategoricalDistribution):
        values = form["choice"]
    else:
        values = [distribution.low, distribution.high]
    problems = [line for value in values for line in _problems(source, {key: value})]
    if problems:
        raise SettingsError("\n".join(problems))
    return distribution


def _problems_of_the_whole(space: Space) -> Iterator[str]:
    """The problems that no key has by itself."""
    if not space.distributions:
        yield "no setting has a range, as in `model: {hidden: {choice: [128, 256]}}`"
    keys = {key for key, value in space.fixed.items() if value is not None}
    keys |= space.distributions.keys()
    budgets = [key for key in BUDGET_KEYS if key in keys]
    if len(budgets) > 1:
        yield f"{' and '.join(budgets)} are both given; keep one"
    if space.fixed.get("data.val") == 0:
        yield "data.val is 0; a sweep needs validation text"
    for key in space.distributions:
        if key.startswith("data."):
            yield (
                f"{key} has a range, but losses on texts that are read or divided differently "
                "cannot be compared; give it one value"
            )
    if space.options.sampler == "grid":
        endless = [key for key, one in space.distributions.items() if points(one) is None]
        yield from (f"{key}: a grid needs a choice or a step" for key in endless)
        if not endless and space.grid_size > LARGEST_GRID:
            yield f"the grid has {space.grid_size:,} points; that is too many"
    elif space.options.trials is None and space.options.minutes is None:
        yield (
            "the sweep has no end: set sweep.trials, the number of runs, or sweep.minutes, or both"
        )


# ---- a range


def points(distribution: Distribution) -> Sequence[Any] | None:
    """All values that Optuna can store, for a grid; None if there are too many to list."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None or (high - low) / step > MOST_POINTS:
        return None
    return [low + number * step for number in range(1 + math.floor((high - low) / step + ROUNDING))]


def from_optuna(key: str, stored: Any) -> Any:
    """The value of a setting, by what Optuna stores, where a list is a text."""
    return tuple(yaml.safe_load(stored)) if isinstance(DEFAULTS.get(key), list) else stored


def to_json(distribution: Distribution) -> dict[str, Any]:
    if isinstance(distribution, CategoricalDistribution):
        return {"choice": list(distribution.choices)}
    numbers = {name: getattr(distribution, name) for name in ("low", "high", "step", "log")}
    return {**numbers, "whole": isinstance(distribution, IntDistribution)}


def from_json(stored: Any) -> Distribution:
    """The distribution that a study has stored; Optuna can store a list as a text."""
    if "choice" in stored:
        plain = bool | int | float | str | None
        choices = [one if isinstance(one, plain) else to_scalar(one) for one in stored["choice"]]
        return CategoricalDistribution(choices)
    return _numbers(**stored)


def _numbers(low: Any, high: Any, step: Any, *, log: bool, whole: bool) -> Distribution:
    with warnings.catch_warnings():  # Optuna lowers the upper end to a whole number of steps
        warnings.simplefilter("ignore")
        if whole:
            return IntDistribution(low, high, log, step or 1)
        return FloatDistribution(low, high + ROUNDING * (step or 0), log, step)


def _distribution(key: str, form: Any) -> Distribution:
    """Read what a file gives instead of a value; SettingsError if it does not suit the setting."""
    kinds = {"choice", "range", "log"} & set(form)
    if len(kinds) != 1 or set(form) - kinds - {"step"}:
        raise SettingsError(f"write {FORMS}, not {_shown(form)}")
    (kind,) = kinds
    if kind != "choice":
        return _read_numbers(key, kind, form[kind], form.get("step"))
    values = form["choice"]
    if "step" in form:
        raise SettingsError("step belongs to range, not to choice")
    if not isinstance(values, list) or not values:
        raise SettingsError(f"choice must be a list of values, not {_shown(values)}")
    if any(isinstance(one, dict) for one in values):
        raise SettingsError(f"a choice cannot contain ranges: {_shown(values)}")
    texts = [to_scalar(one) for one in values]
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise SettingsError(f"choice has {twice[0]} twice")
    return from_json({"choice": values})


def _read_numbers(key: str, kind: str, ends: Any, step: Any) -> Distribution:
    whole, log = _is_whole(key), kind == "log"
    if whole is None:
        raise SettingsError(f"is not a number, so it cannot have a {kind}; write a choice")
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_number, ends)):
        raise SettingsError(f"{kind} must be two numbers, as in [1, 4], not {_shown(ends)}")
    low, high = ends
    if not low < high:
        raise SettingsError(f"the first number of {kind} must be the lower one, not {_shown(ends)}")
    if log and low <= 0:
        raise SettingsError(f"log needs numbers above 0, not {_shown(ends)}")
    if step is not None and log:
        raise SettingsError("step belongs to range, not to log")
    if step is not None and not (_is_number(step) and 0 < step <= high - low):
        raise SettingsError(
            f"step must be a number above 0 that fits the range, not {_shown(step)}"
        )
    if step is not None and step < (high - low) / MOST_STEPS:
        raise SettingsError(
            f"step {_shown(step)} divides the range into more than {MOST_STEPS:,} parts"
        )
    if whole and any(not isinstance(one, int) for one in (low, high, step or 1)):
        raise SettingsError(f"is an integer, so the numbers of {kind} and step must be integers")
    return _numbers(low, high, step, log=log, whole=whole)


def _is_number(value: Any) -> bool:
    # beyond this, the difference of two numbers may be infinite
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_whole(key: str) -> bool | None:
    """Whether a setting is an integer; None if it is no number."""
    section, _, name = key.partition(".")
    schema = type(getattr(Settings(), section)).model_json_schema()["properties"][name]
    types = {one.get("type") for one in schema.get("anyOf", [schema])}
    return False if "number" in types else True if "integer" in types else None


def _shown(value: Any) -> str:
    return short(to_scalar(value))
