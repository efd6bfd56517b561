import shutil
from pathlib import Path

import pytest

from grucli.errors import UsageError
from grucli.run import summary


def test_runs_are_summarized_newest_first_and_damaged_ones_too(trained: Path) -> None:
    for name in ("20260101-000000-old", "20270101-000000-new"):
        shutil.copytree(trained, Path("runs", name))
    Path("runs", "20270101-000000-new", "run.json").write_text("{", encoding="utf-8")
    new, old = summary.summaries(Path("runs"))
    assert (new.run, new.status, new.loss) == ("20270101-000000-new", summary.DAMAGED, None)
    assert (old.run, old.status, old.step) == ("20260101-000000-old", "done", 30)
    assert (old.model, old.corpus) == ("gru 1x12", "text.txt")
    assert (old.loss is not None, old.level) == (True, "char")
    with pytest.raises(UsageError, match="no such directory"):
        summary.summaries(Path("nowhere"))
