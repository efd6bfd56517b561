"""Export a run to the format of another program. It is written completely or not at all."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from grucli.arguments import FilePath, PathLike, checked
from grucli.errors import ArgumentError, RunError, UsageError
from grucli.exchange import curves, hub, keras_model, onnx_graph, torch_files
from grucli.exchange.comparison import Compared
from grucli.exchange.description import as_texts, describe
from grucli.exchange.onnx_graph import Weights
from grucli.exchange.safetensors import dump
from grucli.files import check_output, replace_file, write_output
from grucli.run.run import Run

Format = Literal["onnx", "safetensors", "torch", "keras", "hub", "csv", "tensorboard"]

NAMES: dict[Format, str] = {
    "onnx": "model.onnx",
    "safetensors": "model.safetensors",
    "torch": "model.pt",
    "keras": "model.keras",
    "hub": "hub",
    "csv": "metrics-wide.csv",
    "tensorboard": "tensorboard",
}
"""What an export is called in the run directory if it has no other name."""

FOLDERS = ("hub", "tensorboard")
BESIDE = {"torch": (".py", ".json")}  # suffixes of files beside the first one


@dataclass(frozen=True)
class Export:
    """What was exported."""

    path: Path  # the file, or the folder
    files: tuple[Path, ...]
    compared: Compared | None = None  # of ``onnx``, as onnxruntime computes it


@checked
def export(
    run: PathLike,
    to: Format,
    output: FilePath | None = None,
    *,
    force: bool = False,
    weights: Weights = "float32",
    license: str | None = None,
    language: str | None = None,
) -> Export:
    """Write the model of a run, or its metrics, for another program (docs/exchange.md).

    The model of ``onnx`` is compared with this program before it is written.

    Args:
        run: a run directory, whose best checkpoint is exported, or a checkpoint file.
        to: the format.
        output: the file, or the folder of ``hub`` and ``tensorboard``; None is one in the run.
        force: whether files that exist are overwritten.
        weights: the type of the matrices in the file of ``onnx``.
        license: of the model, for ``hub``, such as "mit".
        language: of the text, for ``hub``, such as "en".

    Raises:
        UsageError: a file exists, a package is missing, or the format cannot hold the model.
        CheckpointError: there is no checkpoint, or it is damaged.
        RunError: a file cannot be written, or onnxruntime computes other numbers.
    """
    opened = Run.open(run)
    for name, value in (("license", license), ("language", language)):
        if value is not None and to != "hub":
            raise ArgumentError(name, "is for --to hub")
    if weights != "float32" and to != "onnx":
        raise ArgumentError("weights", "is for --to onnx; the other formats hold float32")
    path, compared = _path(opened, to, output, force=force), None
    if to == "onnx":
        content, compared = onnx_graph.export(opened, weights)
        contents = {path.name: content}
    else:
        contents = _contents(opened, to, path, license, language)
    folder = path if to in FOLDERS else None
    files = {(folder or path.parent) / name: content for name, content in contents.items()}
    _write(files, folder)
    return Export(path, tuple(files), compared)


def _contents(
    run: Run, to: Format, path: Path, license: str | None, language: str | None
) -> dict[str, bytes]:
    if to == "hub":
        in_run = path.parent == run.path
        return hub.folder(run, (run.path if in_run else path).resolve().name, license, language)
    if to == "csv":
        return {path.name: curves.wide(run)}
    if to == "tensorboard":
        return curves.tensorboard(run)
    if to == "torch":
        return torch_files.export(run, path)
    if to == "keras":
        return {path.name: keras_model.export(run)}
    weights = dict(run.lm.model.params.items())
    return {path.name: dump(weights, as_texts(describe(run.checkpoint)))}


def _path(run: Run, to: Format, output: Path | None, *, force: bool) -> Path:
    """The file or folder to write, which does not exist or may be overwritten."""
    if output is None and not run.path.is_dir():
        raise UsageError(f"{run.path}: is not a run directory; name the export with -o")
    path = run.path / NAMES[to] if output is None else output
    if output is None and path.is_symlink():
        raise UsageError(f"{path}: is a link to another place; name the export with -o")
    if to not in FOLDERS:
        if path.suffix in BESIDE.get(to, ()):
            raise ArgumentError("output", f"must end in .pt; {path.name} is the name of another")
        if to in BESIDE and path.is_symlink():
            path = path.resolve()
        if to in BESIDE and path.stem in {to, *sys.stdlib_module_names}:
            raise ArgumentError(
                "output", f"must have another name: Python has a module {path.stem}"
            )
        for file in (path, *map(path.with_suffix, BESIDE.get(to, ()))):
            if to in BESIDE and file.exists() and not file.is_file():
                raise UsageError(f"--output {file}: this is not a file, and {to} writes several")
            check_output("--output", file, force=force, reads=run.inputs())
    elif path.exists() and not path.is_dir():
        raise UsageError(f"--output {path}: this is a file, and {to} is a folder")
    elif path.is_dir() and any(path.iterdir()) and not force:
        raise UsageError(f"--output {path}: is not empty; name another folder, or use --force")
    elif not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: there is no directory {path.parent}")
    return path


def _write(files: Mapping[Path, bytes], folder: Path | None) -> None:
    first, *others = files
    near = folder or first
    beside = near if near.is_dir() else near.absolute().parent  # a folder may be a mount point
    try:
        if not folder and not others:
            write_output(first, lambda file: file.write(files[first]))
            return
        with TemporaryDirectory(prefix=".export-", dir=beside) as made:
            for path, content in files.items():
                replace_file(Path(made, path.name), lambda file, data=content: file.write(data))  # type: ignore[misc]
            if folder:
                folder.mkdir(exist_ok=True)
            for path in files:
                os.replace(Path(made, path.name), path)
        for old in map(near.joinpath, os.listdir(near) if curves.is_export(first.name) else ()):
            if curves.is_export(old.name) and old not in files:
                old.unlink()  # it would show the same curves once more
    except OSError as error:
        raise RunError(f"{near}: cannot be written: {error.strerror or error}") from None
