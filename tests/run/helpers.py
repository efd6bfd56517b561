"""Checkpoints that cannot be read, and what is said of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from grucli.errors import CheckpointError
from grucli.run import checkpoint as checkpoints


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoints.read(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def rewrite(path: Path, **changes: object) -> Path:
    """The checkpoint with members replaced, or left out where None, or meta's keys changed."""
    with np.load(path) as arrays:
        members = dict(arrays)
    meta = json.loads(members["meta"].tobytes())
    for name, value in changes.items():
        name = name.replace("__", ".")
        if name in meta:
            meta[name] = value
        elif value is None:
            del members[name]
        else:
            members[name] = np.asarray(value)
    members["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    other = Path("other.npz")
    np.savez(other, **members)
    return other
