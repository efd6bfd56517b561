"""Arguments of public functions, checked against their annotations."""

import errno
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from inspect import Parameter, Signature, getfullargspec, signature
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import numpy as np
from pydantic import AfterValidator, BeforeValidator, PlainValidator, ValidationError, validate_call
from typing_extensions import Unpack, get_type_hints

from grucli.errors import ArgumentError, UsageError

P = ParamSpec("P")
S = TypeVar("S", str, Path, os.PathLike[str])
R = TypeVar("R")
T = TypeVar("T")

WORDS = {
    "string": "a string",
    "bytes": "bytes",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
}
"""What an argument must be, by the first word of the type of pydantic's error."""


def check_path(path: S) -> S:
    """Return a path, which need not exist; refuse a text, or a name that no file can have."""
    name = os.fspath(path)
    if not name:
        raise UsageError("'': the name is empty")
    try:
        os.stat(name)
    except ValueError:  # it contains U+0000 or half of a surrogate pair
        raise UsageError(f"{reprlib.repr(name)}: no file can have this name") from None
    except OSError as error:
        missing = error.errno == errno.ENOENT and "\n" in name
        if missing or error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{reprlib.repr(name)}: this is a text, and the path of a file belongs here; "
                "write the text to a file, and give the path of that file"
            ) from None
    return path


def _one_or_more(value: Any) -> Any:
    """A list of the one text or path that was given instead of a list; others unchanged."""
    return [value] if isinstance(value, str | bytes | os.PathLike) else value


def _iterable(value: Any) -> Any:
    lines = _one_or_more(value)
    if not isinstance(lines, Iterable):
        raise ArgumentError("lines", f"must be a list of texts, not {reprlib.repr(value)}")
    return lines


PathLike = Annotated[str | os.PathLike[str], AfterValidator(check_path)]
FilePath = Annotated[Path, AfterValidator(check_path)]
Several = Annotated[Sequence[T], BeforeValidator(_one_or_more)]
Lines = Annotated[Iterable[str | bytes], PlainValidator(_iterable)]


def plain(value: Any) -> Any:
    """A NumPy number as a Python number, which a settings file can hold; others unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function, and convert them, before it is called."""

    @cache  # made by the first call, so that imports are fast
    def check() -> Callable[..., tuple[Any, Any]]:
        converted = wraps(function)(lambda *args, **named: (args, named))
        return validate_call(config={"arbitrary_types_allowed": True})(converted)

    @wraps(function)
    def call(*args: P.args, **named: P.kwargs) -> R:
        try:
            args, named = check()(
                *map(plain, args), **{name: plain(value) for name, value in named.items()}
            )
        except ValidationError as error:
            public.bind(*args, **named)  # raises Python's own TypeError
            raise _explained(function, error) from None
        return function(*args, **named)

    public = public_signature(function)
    call.__signature__ = public  # type: ignore[attr-defined]
    return call


def public_signature(function: Callable[..., Any]) -> Signature:
    """The signature, with the options of a TypedDict one by one."""
    declared = signature(function)
    parameters = list(declared.parameters.values())
    if not parameters or get_origin(parameters[-1].annotation) is not Unpack:
        return declared
    (options,) = get_args(parameters.pop().annotation)
    unset = completed(options, {})
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=unset[name])
        for name, kind in get_type_hints(options).items()
        if name not in declared.parameters
    ]
    return declared.replace(parameters=parameters)


@dataclass(frozen=True)
class Default:
    """What an option of a TypedDict means if it is left out, as a part of its annotation."""

    value: Any


def completed(options: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a TypedDict: those that are given, and the others by default."""
    return _defaults(options) | dict(given)


@cache
def _defaults(options: Any) -> dict[str, Any]:
    kinds = get_type_hints(options, include_extras=True)
    return {name: _unset(kind) for name, kind in kinds.items()}


def _unset(kind: Any) -> Any:
    """What an option of a TypedDict is by default: its ``Default``, False, first choice or None."""
    for mark in getattr(kind, "__metadata__", ()):
        if isinstance(mark, Default):
            return mark.value
    if kind is bool:
        return False
    return get_args(kind)[0] if get_origin(kind) is Literal else None


def _explained(function: Callable[..., Any], error: ValidationError) -> ArgumentError:
    """The first problem in plain words."""
    first, *others = error.errors()
    name, spec = first["loc"][0], getfullargspec(function)
    names = [*spec.args, spec.varargs]
    items = [first, *(item for item in others if item["loc"][0] == first["loc"][0])]
    wanted = [
        WORDS.get(item["type"].partition("_")[0], item["msg"].removeprefix("Input should be "))
        for item in items
    ]
    return ArgumentError(
        str(names[min(name, len(spec.args))] if isinstance(name, int) else name),
        f"must be {' or '.join(dict.fromkeys(wanted))}, not {reprlib.repr(first['input'])}",
    )


@checked
def file_names(sources: Several[PathLike]) -> list[str]:
    """The names of files and directories, or of one of them."""
    return [os.fspath(source) for source in sources]
