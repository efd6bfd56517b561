"""Docstrings that the program shows as help, even if Python runs with ``-OO`` and drops them."""

import ast
import inspect
import textwrap
from typing import Any


def docstring(documented: Any) -> str:
    """The docstring of a class or a function, from its source if need be; "" if there is none."""
    if documented.__doc__ is not None:
        return inspect.cleandoc(documented.__doc__)
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(documented))).body
    except (OSError, TypeError):
        return ""
    if isinstance(definition, (ast.ClassDef, ast.FunctionDef)):
        return ast.get_docstring(definition) or ""
    return ""
