"""The code of docs/library.md on training runs as it stands, in a directory with diary.txt."""

import re
from pathlib import Path

import pytest

from tests.texts import prose

PAGE = Path(__file__).parents[1] / "docs" / "library.md"


def test_the_code_on_training_runs() -> None:
    pytest.importorskip("grucli.language_model")
    Path("diary.txt").write_text(prose(20000), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    training = page[page.index("## Train\n") :]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", training, re.MULTILINE | re.DOTALL))
    exec(compile(code, str(PAGE), "exec"), {"__name__": "library"})
