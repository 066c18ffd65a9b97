"""Messages about wrong recipes, in the words of the recipe.

Turns pydantic's errors into one line each: ``file: key.path: what; what to do``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kinograd.section import is_table

Layer = tuple[str, Mapping[str, Any]]
"""A source of settings: its name and its tree."""
Layers = Sequence[Layer]

_MISSING = object()

_EXPECTED = {
    "model_type": "a table (key: value)",
    "dict_type": "a table (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def explain(
    error: ValidationError, tree: Mapping[str, Any], layers: Layers, schema: dict[str, Any]
) -> list[str]:
    """One line per fault of ``tree``, which failed against the model of ``schema``."""
    lines: list[str] = []
    for detail in error.errors(include_url=False):
        path, table = _walk(detail["loc"], tree, schema)
        key = ".".join(path) or "recipe"
        lines.append(f"{_origin(path, layers)}{key}: {_message(detail, path, table, schema)}")
    return lines


def _message(
    detail: ErrorDetails, path: list[str], table: dict[str, Any], schema: dict[str, Any]
) -> str:
    context, value = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "missing":
            return "missing; it has no default"
        case "extra_forbidden":
            return "unknown key" + _where_else(path, table, schema)
        case "union_tag_not_found":
            return f"needs a type: one of {_tags(table)}"
        case "union_tag_invalid":
            tag = str(context.get("tag"))
            near = suggest(tag, table["discriminator"]["mapping"])
            return f"unknown type {tag!r}, not one of {_tags(table)}{near}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            near = suggest(value, _choices(context)) if isinstance(value, str) else ""
            return f"should be {context['expected']}, not {_shown(value)}{near}"
        case kind if kind in _EXPECTED:
            return f"should be {_EXPECTED[kind]}, not {_shown(value)}"
        case _:
            return f"{detail['msg'].removeprefix('Input ')}; it is {_shown(value)}"


def _shown(value: Any) -> str:
    """Spell a value as a recipe would, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _choices(context: Mapping[str, Any]) -> list[str]:
    return [c.strip("'") for c in context["expected"].replace(" or ", ", ").split(", ")]


# ------------------------------------------------------------------ the schema


def _resolve(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and take the table out of ``table | null``."""
    for _ in range(4):  # a union of a reference to a union is as deep as it gets
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in node:
            node = next(n for n in node["anyOf"] if n.get("type") != "null")
    return node


def _walk(
    loc: tuple[int | str, ...], tree: Mapping[str, Any], schema: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Return the key path as the user wrote it, and the schema of the table around its end.

    Pydantic puts the chosen ``type`` of a union into the location; the user did not.
    A path that ends at a union (its type is missing or unknown) gives the union itself.
    """
    path: list[str] = []
    value: Any = dict(tree)
    node = table = _resolve(schema, schema)
    for part in loc:
        union = node.get("discriminator")
        if union and is_table(value) and part == value.get(union["propertyName"]):
            node = table = _resolve({"$ref": union["mapping"][part]}, schema)
            continue
        path.append(str(part))
        table = node
        inner = node.get("items") if isinstance(part, int) else None
        inner = inner or node.get("properties", {}).get(part) or node.get("additionalProperties")
        node = _resolve(inner, schema) if is_table(inner) else {}
        value = _step(value, part)
    return path, node if "discriminator" in node else table


def _step(value: Any, part: int | str) -> Any:
    """Return the value under a key or index, or _MISSING."""
    try:
        return value[int(part) if isinstance(value, list) else part]
    except (KeyError, IndexError, TypeError, ValueError):
        return _MISSING


def _tags(union: dict[str, Any]) -> str:
    return ", ".join(union["discriminator"]["mapping"])


def _where_else(path: list[str], table: dict[str, Any], schema: dict[str, Any]) -> str:
    """A near key of the same table, else the place where a key of this name does exist."""
    word = path[-1]
    near = suggest(word, table.get("properties", {}))
    if near:
        return near
    places = [p for p in _key_paths(schema, schema) if p.rsplit(".", 1)[-1] == word]
    return f"; did you mean {' or '.join(map(repr, places))}?" if 0 < len(places) <= 3 else ""


def _key_paths(node: dict[str, Any], root: dict[str, Any], prefix: str = "") -> Iterator[str]:
    node = _resolve(node, root)
    for key, inner in node.get("properties", {}).items():
        yield prefix + key
        yield from _key_paths(inner, root, f"{prefix}{key}.")


# ----------------------------------------------------------------- the sources


def _origin(path: list[str], layers: Layers) -> str:
    """``file: `` of the last source that sets the key; for a missing key, its table's."""
    for depth in range(len(path), 0, -1):
        for name, tree in reversed(layers):
            value: Any = tree
            for part in path[:depth]:
                value = _step(value, part)
            if value is not _MISSING:
                return f"{name}: "
    names = " + ".join(name for name, tree in layers if tree)
    return f"{names}: " if names else ""
