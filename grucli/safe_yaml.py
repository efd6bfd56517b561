"""A strict YAML loader for settings, which reports the line and the column of a problem.

Unlike PyYAML's safe loader it refuses duplicate keys, and what can cost any amount of memory and
time, such as nested aliases and deep nesting, before it builds a value.
"""

import re
from typing import Any

import yaml

DEEPEST = 8  # levels of nesting; settings have three
MOST_VALUES = 1000  # keys, values and items; settings have about a hundred
LONGEST_PROBLEM = 200  # characters in a message: PyYAML's messages can repeat the whole text
# numbers such as 4e-3, which YAML 1.1 reads as text because they have no dot or no sign
SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class YamlError(Exception):
    """A text that is not YAML, or uses a feature of YAML that settings do not allow."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.problem = problem[:LONGEST_PROBLEM]
        self.line, self.column = line, column  # counted from 1


def load(text: str) -> Any:
    """The value of a YAML text; a YamlError says what is wrong, and where."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        before, problem = text[: error.position], f"character U+{ord(text[error.position]):04X}"
        column = error.position - before.rfind("\n")
        raise YamlError(f"not valid YAML: {problem}", before.count("\n") + 1, column) from None
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise _at(error.problem_mark, f"not valid YAML: {error.problem}") from None
    except (ValueError, OverflowError) as error:  # such as of \\UFFFFFFFF
        raise _at(loader.get_mark(), f"not valid YAML: {error}") from None


def is_number(text: str) -> bool:
    """Whether ``load`` reads a text without quotes as a number that YAML 1.1 reads as text."""
    return SCIENTIFIC.fullmatch(text) is not None


def _at(mark: Any, problem: str) -> YamlError:
    return YamlError(problem, mark.line + 1, mark.column + 1)


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        problem = self._problem(event)
        if problem:
            raise _at(event.start_mark, problem)
        self.values += 1
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _problem(self, event: Any) -> str | None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            return "settings take no anchors and aliases (& and *); put quotes around a text"
        if event.tag is not None:
            return "settings take no tags (!); put quotes around a text"
        if self.depth >= DEEPEST:
            return "nested too deeply for settings"
        if self.values >= MOST_VALUES:
            return f"settings have fewer than {MOST_VALUES:,} keys and values"
        return None

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
                raise _at(key.start_mark, "the name of a setting must be a word")
            if key.value in lines:
                problem = f"the same key as in line {lines[key.value]}; keep one"
                raise _at(key.start_mark, problem)
            lines[key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if plain and node.tag.endswith(":str") and is_number(node.value):
            number = float(node.value)
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # an impossible date or number
            raise _at(node.start_mark, f"not valid YAML: {error}") from None
