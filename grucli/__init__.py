"""Train, sample and inspect character-level GRU language models with NumPy.

The names in ``__all__`` are loaded when they are first used, so that ``import grucli`` is fast.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
MODULES = {
    "export": "grucli.exchange.export",
    "import_model": "grucli.exchange.imports",
    "load": "grucli.run.run",
    "load_cell": "grucli.nn.cells.from_file",
    "merge": "grucli.run.merged",
    "page": "grucli.pages.build",
    "runs": "grucli.run.run",
    "sweep": "grucli.sweeps.api",
    "train": "grucli.training.api",
    "train_events": "grucli.training.api",
}
"""Where the public names are defined."""

__all__ = list(MODULES)

if TYPE_CHECKING:
    from grucli.exchange.export import export as export
    from grucli.exchange.imports import import_model as import_model
    from grucli.nn.cells.from_file import load_cell as load_cell
    from grucli.pages.build import page as page
    from grucli.run.merged import merge as merge
    from grucli.run.run import load as load
    from grucli.run.run import runs as runs
    from grucli.sweeps.api import sweep as sweep
    from grucli.training.api import train as train
    from grucli.training.api import train_events as train_events
else:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """All names, those among them that are not loaded yet."""
    return sorted({*globals(), *__all__})
