"""The notebook is the one that its program writes, and runs from an empty directory."""

import importlib.util
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NEEDED = ("nbclient", "ipykernel")


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "make_notebook.py"))


def cells() -> list[dict[str, Any]]:
    stored: dict[str, Any] = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    return list(stored["cells"])


def test_the_stored_notebook_is_current_and_was_executed(made: dict[str, Any]) -> None:
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells()]
    assert sources == made["CELLS"], "run: python docs/make_notebook.py"
    outputs = [output for cell in cells() for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) == 4


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}"
)
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(made: dict[str, Any]) -> None:
    executed = made["execute"](made["notebook"]())
    printed = [
        output["text"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    assert any("sum of the routes against the backward pass" in text for text in printed)
    assert any("16 compositions; their sum agrees: True" in text for text in printed)
