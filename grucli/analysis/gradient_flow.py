"""Measure how far back through time a gradient reaches: its norm by distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grucli.analysis.gradient_routes import History, look_back_in_text
from grucli.analysis.subject import UNTRAINED, Subject, check_same_vocabulary
from grucli.charts import CELLS, Curve, colours_of, svg
from grucli.nn.params import Array
from grucli.threads import blas_limited_to

LIMITS = (1e-2, 1e-3)  # relative norms; a result tells where the median falls below each
FEWEST = 8  # positions at a distance, unless fewer are asked for
PERCENTILES = (10, 50, 90)  # over the positions of the text


@dataclass(frozen=True)
class GradientFlow:
    """Norm of the gradient k steps back, relative to that at step t, over positions of a text."""

    # at distance k count only positions in documents with k characters or more before them, so that
    # a list of short lines has fewer distances than were asked for
    name: str  # of the model
    subject: Subject
    low: Array  # the 10th percentile for k = 0, 1, ..., K, (K+1,)
    median: Array  # (K+1,)
    high: Array  # the 90th percentile, (K+1,)

    def falls_below(self) -> dict[float, int | None]:
        """For each of ``LIMITS``, the first distance at which the median is below it, or None."""
        return {
            limit: next((k for k, value in enumerate(self.median) if value < limit), None)
            for limit in LIMITS
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "median": self.median.tolist(),
            "percentile_10": self.low.tolist(),
            "percentile_90": self.high.tolist(),
            "falls_below": {f"{limit:g}": k for limit, k in self.falls_below().items()},
        }


@blas_limited_to(1)  # the products are small
def measure(
    subjects: Sequence[Subject], distance: int = 128, positions: int = 64
) -> list[GradientFlow]:
    """Measure how the gradient of each model shrinks over ``distance`` steps back through time."""
    check_same_vocabulary(subjects)
    flows: dict[str, GradientFlow] = {}
    for subject in subjects:
        name, number = subject.name, 1
        while name in flows:  # two checkpoints can have the same name
            number += 1
            name = f"{subject.name} ({number})"
        history = look_back_in_text(subject.lm.model, subject.ids, distance, positions)
        norms, within = norms_by_distance(history), history.within()
        relative = norms / np.maximum(norms[0], 1e-300)
        counted = within.sum(axis=1) >= min(FEWEST, within.shape[1])  # at first, then no more
        rows = [row[here] for row, here in zip(relative[counted], within[counted], strict=True)]
        percentiles = np.array([np.percentile(row, PERCENTILES) for row in rows])
        flows[name] = GradientFlow(name, subject, *percentiles.T)
    return list(flows.values())


def chart(flows: Sequence[GradientFlow]) -> str:
    """The medians by distance as SVG, with percentiles as bands; dashed if a model is untrained."""
    alike = len({flow.subject.words for flow in flows}) < len(flows)
    names = [flow.name.replace(UNTRAINED, "") for flow in flows]
    things = names if alike else [flow.subject.lm.model.cell for flow in flows]
    curves, colours = [], colours_of(things, CELLS)
    for flow, thing in zip(flows, things, strict=True):
        low, median, high = (row.tolist() for row in (flow.low, flow.median, flow.high))
        name, dashed = flow.name if alike else flow.subject.words, not flow.subject.trained
        curves.append(Curve(name, range(len(median)), median, colours[thing], low, high, dashed))
    y = "norm of the gradient relative to step t: median, and 10th to 90th percentile of positions"
    return svg(curves, x="steps back", y=y, log="y", levels=LIMITS, slide=True)


def norms_by_distance(history: History) -> Array:
    """The norms of the gradients of L_t w.r.t. the state at t-k, (distance+1, positions)."""
    return np.array([np.linalg.norm(gradient, axis=-1) for gradient in history.gradients()])
