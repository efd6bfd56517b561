"""What a sweep file asks for: parameters, fixed settings, and the sweep's own options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grucli.config import BUDGETS, Settings, Values, flatten, read_file, resolve
from grucli.errors import SettingsError
from grucli.sweeps.parameters import Parameter, RangeError, parameter

LARGEST_GRID = 10**6
"""Maximum number of points of a grid."""


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
    """What a sweep file asks for.

    Attributes:
        parameters: the settings that have a range.
        fixed: all other settings, by dotted key.
        options: the budget of the sweep, and how values are chosen.
        place: where it was read, for messages.
    """

    parameters: Sequence[Parameter]
    fixed: Values
    options: Options
    place: str

    @property
    def trials(self) -> int | None:
        """The number of trials of the whole study; None if only time limits it."""
        grid = self.grid_size if self.options.sampler == "grid" else None
        limits = [limit for limit in (self.options.trials, grid) if limit is not None]
        return min(limits, default=None)

    @cached_property
    def grid_size(self) -> int:
        """The number of points of the grid."""
        return math.prod(len(one.points or ()) for one in self.parameters)

    @cached_property
    def _order(self) -> Any:
        """The order of the points of the grid: shuffled, so that a part of it covers all of it."""
        return np.random.default_rng(self.options.seed).permutation(self.grid_size)

    def grid_point(self, number: int) -> Values:
        """The values of trial ``number`` of a grid; numbers after the last point begin anew."""
        place, values = int(self._order[number % self.grid_size]), {}
        for one in self.parameters:
            points = one.points
            assert points is not None
            place, here = divmod(place, len(points))
            values[one.key] = points[here]
        return values


def read_space(config: Path | None, settings: Mapping[str, Any], place: str = "settings") -> Space:
    """Read and check a sweep file.

    Args:
        config: the file.
        settings: values and ranges by dotted key, with priority over those of the file.
        place: the origin of ``settings``, for messages.

    Raises:
        SettingsError: one message lists all problems, each with file, key and what is allowed.
    """
    values = {**(read_file(config) if config else {}), **settings}
    place = str(config) if config else place
    own = {key: value for key, value in values.items() if key.startswith("sweep.")}
    ranges = {key: one for key, one in values.items() if isinstance(one, dict) and key not in own}
    fixed = {key: one for key, one in values.items() if key not in own and key not in ranges}
    options, problems = _options(own, place)
    problems += _problems([(place, fixed)])
    parameters, wrong = _parameters(ranges, place)
    problems += wrong
    if options is not None and not problems:
        problems += _of_the_whole(options, parameters, fixed, place)
    if options is None or problems:
        raise SettingsError("\n".join(problems))
    return Space(parameters, fixed, options, place)


def _options(own: Mapping[str, Any], place: str) -> tuple[Options | None, list[str]]:
    """The options, and the problems with them."""
    try:
        values = {key.partition(".")[2]: value for key, value in own.items()}
        return Options.model_validate(values), []
    except ValidationError as error:
        return None, [_explained(dict(item), place) for item in error.errors()]


def _explained(item: Mapping[str, Any], place: str) -> str:
    key = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown key sweep.{key}; sweep has {', '.join(Options.model_fields)}"
    message = item["msg"].replace("Input should be ", "must be ")
    return f"{place}: sweep.{key}: {message}, not {item['input']!r}"


def _parameters(ranges: Mapping[str, Any], place: str) -> tuple[list[Parameter], list[str]]:
    """The parameters, and the problems with them."""
    known, found, problems = flatten(Settings()), [], []
    for key, given in ranges.items():
        if key not in known:
            problems += _problems([(place, {key: 0})]) if key.count(".") == 1 else []
            continue
        try:
            one = parameter(key, given)
        except RangeError as error:
            problems.append(f"{place}: {key}: {error}")
            continue
        wrong = [_problems([(place, {key: value})]) for value in one.to_check]
        problems += dict.fromkeys(line for lines in wrong for line in lines)
        found.append(one)
    return found, problems


def _problems(layers: Sequence[tuple[str, Values]]) -> list[str]:
    """The lines of the message about some settings; no line if they are possible."""
    try:
        resolve(layers)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def _of_the_whole(
    options: Options, parameters: Sequence[Parameter], fixed: Values, place: str
) -> list[str]:
    """The problems that no key has by itself."""
    problems, space = [], Space(parameters, fixed, options, place)
    if not parameters:
        problems.append(
            f"{place}: no setting has a range, as in `model: {{hidden: {{choice: [128, 256]}}}}`"
        )
    given = {key for key, value in fixed.items() if value is not None}
    given |= {one.key for one in parameters}
    budgets = [key for key in (f"train.{name}" for name in BUDGETS) if key in given]
    if len(budgets) > 1:
        problems.append(f"{place}: {' and '.join(budgets)} are both given; keep one")
    if fixed.get("data.val") == 0:
        problems.append(f"{place}: data.val is 0; a sweep needs validation text")
    if any(one.key == "data.level" for one in parameters):
        problems.append(
            f"{place}: data.level has a range, but a loss per byte cannot be compared with one per "
            "character; give it one value"
        )
    if options.sampler == "grid":
        endless = [one.key for one in parameters if one.points is None]
        problems += [f"{place}: {key}: a grid needs a choice or a step" for key in endless]
        if not endless and space.grid_size > LARGEST_GRID:
            problems.append(f"{place}: the grid has {space.grid_size:,} points; that is too many")
    elif options.trials is None and options.minutes is None:
        problems.append(
            f"{place}: the sweep has no end: set sweep.trials, the number of runs, or "
            "sweep.minutes, or both"
        )
    return problems
