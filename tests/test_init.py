"""The public names of the library."""

import subprocess
import sys

import pytest

import grucli as library


def test_the_public_names_are_these() -> None:
    assert library.__all__ == [
        "export",
        "import_model",
        "load",
        "load_cell",
        "merge",
        "page",
        "runs",
        "sweep",
        "train",
        "train_events",
    ]
    assert set(library.__all__) <= set(dir(library))


@pytest.mark.parametrize("name", library.__all__)
def test_each_public_name_is_a_function(name: str) -> None:
    assert callable(getattr(library, name))


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="module 'grucli' has no attribute 'pandas'"):
        library.pandas  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_library_loads_nothing() -> None:
    code = (
        "import sys; import grucli; "
        "assert not {'numpy', 'yaml', 'pydantic', 'typer', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
