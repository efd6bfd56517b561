"""Conversion of checkpoints in format 1, which version 0.1.0 wrote, to present names."""

from typing import Any

from grucli.config import RENAMED

MEMBERS_RENAMED = {"average": "ema"}
PROGRESS_RENAMED = {
    "nats": "loss_sum",
    "stale": "evaluations_since_best",
    "bad": "consecutive_nonfinite",
}
"""Names in format 1, and present names."""


def of_today(meta: dict[str, Any]) -> dict[str, Any]:
    """Convert ``meta`` from format 1 to present names.

    Format 1 does not record whether a checkpoint was written at an evaluation. All checkpoints
    are treated as if they were.
    """
    settings = {
        section: {_new_key(section, key): value for key, value in keys.items()}
        for section, keys in meta["settings"].items()
    }
    progress = {PROGRESS_RENAMED.get(key, key): value for key, value in meta["progress"].items()}
    step, best = progress.get("step"), progress.get("best_step")
    progress["evaluated_step"] = step
    progress["evaluated_loss"] = progress.get("best_loss") if step == best else None
    return {**meta, "settings": settings, "progress": progress, "use_ema": meta["use_average"]}


def _new_key(section: str, key: str) -> str:
    return RENAMED.get(f"{section}.{key}", key).removeprefix(f"{section}.")
