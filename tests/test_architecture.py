"""The direction of imports, and the sizes of functions and classes, read from the source."""

import ast
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "grucli"
LAYERS = (
    {"cli"},
    {"exchange"},
    {"pages"},
    {"sweeps"},
    {"analysis"},
    {"training"},
    {"run"},
    {
        "language_model",
        "novelty",
        "beams",
        "sampling",
        "conditions",
        "line_scores",
        "evaluation",
        "calibration",
        "compilation",
    },
    {"data"},
    {"config", "defaults"},
    {"nn"},
)
"""From the top down. The modules that no layer names are below them all. Settings are above nn/
because they know the names of its cells."""

BELOW_NN = {"errors", "threads"}
"""What nn/ may import of grucli besides itself."""

HEAVY = {"torch", "keras", "onnx", "onnxruntime", "tensorboard", "pandas", "optuna", "sqlalchemy"}
WITH_OPTUNA = {"sweeps." + name for name in ("space", "storage", "study", "worker")}
"""Modules that import Optuna at once, so that all others import them inside of functions."""

LONGEST, LONGEST_IN_CLI, MEDIAN, LARGEST_CLASS = 45, 40, 8, 350
"""Lines from the first line of a definition, decorators not counted, to its last."""

LINES, FILES = 24_351, 159
"""Of the whole package. Only a deliberate commit raises them."""

PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in PATHS.items()}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
OUTSIDE = {"__init__", "__main__"}
"""The library's names, which are loaded when they are used, and the start of the program."""


def at_import(module: str) -> Iterator[ast.AST]:
    """The nodes of a module outside of functions: what runs when it is imported."""
    functions = [node for node in ast.walk(TREES[module]) if isinstance(node, FUNCTION)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    return (node for node in ast.walk(TREES[module]) if id(node) not in inside)


def only_for_types(tree: ast.Module) -> Iterator[ast.AST]:
    """The blocks of a module that only a type checker reads."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.body


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The full names that some nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules of this package that some nodes import, without ``grucli.``."""
    names = {full.removeprefix("grucli.") for full in imports(nodes) if full.startswith("grucli.")}
    return {name if name in TREES else name.rpartition(".")[0] for name in names} - {""}


def layer(module: str) -> int:
    top = module.partition(".")[0]
    return next((number for number, names in enumerate(LAYERS) if top in names), len(LAYERS))


def lines(*kinds: type[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """Module, name and number of lines of all functions or classes."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                assert isinstance(node, (*FUNCTION, ast.ClassDef))
                yield module, node.name, (node.end_lineno or 0) - node.lineno + 1


def test_imports_point_down() -> None:
    assert set().union(*LAYERS) <= {module.partition(".")[0] for module in TREES}
    wrong = [
        f"{module} imports {other}"
        for module in TREES.keys() - OUTSIDE
        for other in own_imports(ast.walk(TREES[module]))
        if layer(other) < layer(module)
    ]
    assert not sorted(wrong)


def test_there_is_no_circle_of_imports() -> None:
    graph = {
        module: own_imports(ast.walk(tree) if layer(module) else at_import(module))
        for module, tree in TREES.items()
        if module not in OUTSIDE
    }
    assert list(TopologicalSorter(graph).static_order())  # a circle raises CycleError


def test_packages_are_imported_where_they_belong() -> None:
    for module, tree in TREES.items():
        packages = {name.partition(".")[0] for name in imports(ast.walk(tree))}
        if layer(module):
            assert not packages & {"typer", "rich"}, module
        if module.partition(".")[0] == "nn":
            compiler = {"numba", "llvmlite"} if module.startswith("nn.compiled.") else set()
            assert packages <= {"numpy", "grucli", *compiler, *sys.stdlib_module_names}, module
            own = {name.partition(".")[0] for name in own_imports(ast.walk(tree))}
            assert own <= BELOW_NN | {"nn"}, module
        for_types = {id(node) for block in only_for_types(tree) for node in ast.walk(block)}
        nodes = [node for node in at_import(module) if id(node) not in for_types]
        at_once = {name.partition(".")[0] for name in imports(nodes)}
        with_optuna = module in WITH_OPTUNA
        assert at_once & HEAVY <= ({"optuna", "sqlalchemy"} if with_optuna else set()), module
        assert with_optuna or not own_imports(nodes) & WITH_OPTUNA, module


def test_no_private_module_or_name_of_another_package_is_imported() -> None:
    names = {name for tree in TREES.values() for name in imports(ast.walk(tree))}
    private = [name for name in names if any(map(re.compile("_[^_]").match, name.split(".")))]
    assert not private


def test_functions_are_short() -> None:
    functions = list(lines(*FUNCTION))
    limits = {module: LONGEST if layer(module) else LONGEST_IN_CLI for module in TREES}
    assert not sorted(one for one in functions if one[2] > limits[one[0]])
    assert statistics.median(count for *_, count in functions) <= MEDIAN


def test_classes_are_small() -> None:
    assert not sorted(one for one in lines(ast.ClassDef) if one[2] > LARGEST_CLASS)


def test_the_house_is_small() -> None:
    count = sum(len(path.read_text("utf-8").splitlines()) for path in PATHS.values())
    assert count <= LINES
    assert len(PATHS) <= FILES
