"""Measured tables in docs/: nobody types a figure."""

import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from grucli.run.run import Run

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def network(run: Run) -> str:
    """The layers and units of a run's network, its dropout and its weight dropout."""
    model = run.settings.model
    return f"{model.layers} x {model.hidden}, {model.dropout:g}, {model.weight_dropout:g}"


def write(section: str, body: str, path: Path = PAGE) -> None:
    """Replace what stands between the marks of a section, with the machine, versions and date."""
    start, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    page = path.read_text(encoding="utf-8")
    if start not in page:
        raise SystemExit(f"{path}: has no line {start}")
    new = f"{start}\n\n{body}\n\nMeasured on {machine()}.\n\n{end}"
    pattern = re.escape(start) + ".*?" + re.escape(end)
    page = re.sub(pattern, lambda _: new, page, flags=re.DOTALL)
    path.write_text(page, encoding="utf-8", newline="\n")
    print(body)


def machine() -> str:
    """The machine, the versions and the day."""
    from grucli import __version__
    from grucli.threads import available_cores

    parts = [f"{date.today():%Y-%m-%d}, {processor()}, {available_cores()} cores"]
    parts += [f"Python {platform.python_version()}", f"grucli {__version__}"]
    for package in ("numpy", "torch", "jax", "mpi4py", "mpich"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.machine()
    return f"{name} with AVX-512" if " avx512f " in text else f"{name} without AVX-512"
