"""YAML of recipes: text to plain values and back, by the rules of YAML 1.2.

PyYAML follows YAML 1.1, which reads 1e-6 as text, off as False and 010 as 8; here ``1e-6`` is a
number and ``off`` a word. A value is a table, a list, text, a number, true, false or null; other
types of YAML are errors. Whatever the file holds, it is read in bounded time and memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import yaml

from kinograd.types import UsageError

MOST_NESTED = 64
"""Levels of tables and lists."""
_MOST_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    # type: (pattern, what its first character may be; "" for no character at all)
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+0123456789."],
    ),
}


class _Loader(yaml.SafeLoader):
    """Composes the nodes of a document; ``_Values`` turns them into values."""

    yaml_implicit_resolvers = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self._depth > MOST_NESTED:
            event: Any = self.peek_event()  # pyright: ignore[reportUnknownMemberType]
            raise yaml.MarkedYAMLError(None, None, _TOO_DEEP, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version of YAML would read as something else."""


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
            f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$"), _first
        )

_TOO_DEEP = f"nested deeper than {MOST_NESTED} levels"


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML document; None if it is empty.

    Args:
        where: name of the source, for messages.

    Raises:
        UsageError: one line, with line and column.
    """
    loader = _Loader("")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _Values().value(node, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise UsageError(f"{place}: {_one_line(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{error.character:04X}"
        raise UsageError(f"{where}:{line}: the character {character} is not allowed") from error
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType]


def dump_yaml(tree: Mapping[str, Any]) -> str:
    """Return a table as YAML that ``parse_yaml`` reads as an equal one."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _one_line(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    return f"{error.context}, {problem}" if problem.startswith("but ") else problem


class _Values:
    """Turns nodes into values; an alias is expanded, and counted, wherever it occurs."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, node: yaml.Node, depth: int) -> Any:
        self._count += 1
        if depth > MOST_NESTED:  # a list that holds itself, too
            _fail(node, _TOO_DEEP)
        if self._count > _MOST_VALUES:
            _fail(node, f"the aliases expand to more than {_MOST_VALUES} values")
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._table(node, depth)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and kind in (*_SCALARS, "str"):
            return _scalar(node, kind)
        _fail(node, f"the type {node.tag.replace(_TAG, '!!')!r} is not known to recipes")

    def _table(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                _fail(key, f"the key {_brief(key)} is not text; quote it")
            name = _scalar(key, "str")
            if name in table:
                _fail(key, f"the key {_brief(key)} occurs twice")
            table[name] = self.value(value, depth + 1)
        return table


def _scalar(node: yaml.ScalarNode, kind: str) -> Any:
    text: str = node.value
    if kind != "str" and not re.fullmatch(_SCALARS[kind][0], text):
        _fail(node, f"{_brief(node)} is no {kind}")
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            if len(text) > 4000:  # Python converts no more digits
                _fail(node, f"a number of {len(text)} digits is too large")
            return int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            if "\0" in text:
                _fail(node, "text may not hold NUL")
            if any("\ud800" <= character <= "\udfff" for character in text):
                _fail(node, "text may not hold half of a surrogate pair")
            return text


def _brief(node: yaml.Node) -> str:
    return f"{node.value!r:.60}" if isinstance(node, yaml.ScalarNode) else "given here"


def _fail(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
