"""Words of a command line: inputs, recipes, and settings ``KEY=VALUE`` typed by a section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from rich.markup import escape

from kinograd.config.load import load_section
from kinograd.config.recipe_errors import suggest
from kinograd.section import Section
from kinograd.types import UsageError

S = TypeVar("S", bound=Section)

Words = Annotated[
    list[str],
    typer.Argument(metavar="IN... [KEY=VALUE...]", help="Input files; settings, listed above."),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="JSONL file to write.")]

_SETTING = re.compile(r"([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*=", re.ASCII)
_DATA = (".jsonl", ".json", ".parquet", ".csv")
_RECIPE = (".yaml", ".yml")


class SplitWords(NamedTuple):
    """Words of a command line, sorted into inputs and settings, each in its order."""

    inputs: list[str]
    recipes: list[str]
    settings: list[str]


def split_words(words: Sequence[str]) -> SplitWords:
    """Sort words into inputs, recipes and settings.

    >>> split_words(["a.jsonl", "rl.yaml", "video.fps=2", "b.jsonl=0.5"])
    SplitWords(inputs=['a.jsonl', 'b.jsonl=0.5'], recipes=['rl.yaml'], settings=['video.fps=2'])
    """
    found = SplitWords([], [], [])
    for word in words:
        if _SETTING.match(word) and not word.partition("=")[0].endswith(_DATA):
            found.settings.append(word)
        else:
            (found.recipes if word.endswith(_RECIPE) else found.inputs).append(word)
    return found


def read_words(
    words: Sequence[str], section: type[S], least: int = 1, most: int | None = 1
) -> tuple[list[str], S]:
    """Return the inputs and the settings of a verb that takes no recipe.

    Args:
        least, most: how many inputs the verb takes; None: any number.

    Raises:
        UsageError: another number of inputs, a recipe, or a setting that is unknown or mistyped.
    """
    inputs, recipes, settings = split_words(words)
    if recipes:
        raise UsageError(f"{recipes[0]}: this verb takes data files, no recipe")
    check_inputs(inputs, least, most)
    return inputs, read_settings(section, settings)


def check_inputs(inputs: Sequence[str], least: int, most: int | None) -> None:
    """Raise a UsageError unless there are ``least`` to ``most`` inputs (None: any number)."""
    if least <= len(inputs) and (most is None or len(inputs) <= most):
        return
    wanted = f"{least}" if most == least else f"{least} or more" if most is None else f"{most}"
    got = f"{len(inputs)}: {' '.join(inputs)}" if inputs else "none"
    raise UsageError(f"give {wanted} input{'' if wanted == '1' else 's'}, not {got}")


def read_settings(
    section: type[S], settings: Sequence[str], given: Mapping[str, Any] | None = None
) -> S:
    """Return a section from ``KEY=VALUE`` words; values are YAML, text is taken as written.

    Args:
        given: values that the words override.

    Raises:
        UsageError: one line per setting that is unknown, missing or of the wrong type.
    """
    plain, tree = [], dict(given or {})
    for setting in settings:
        key, _, value = setting.partition("=")
        field = section.model_fields.get(key)
        if field is not None and field.annotation in (str, str | None):
            tree[key] = value
        else:
            plain.append(setting)
    return load_section(section, tree, plain)


def divide_settings(
    section: type[Section], settings: Sequence[str], recipe: type[Section]
) -> tuple[list[str], list[str]]:
    """Return the words whose key is in ``section``, and those that override a recipe.

    Raises:
        UsageError: a key is in neither.
    """
    own, overrides = [], []
    for setting in settings:
        name = setting.partition("=")[0].partition(".")[0]
        if name in section.model_fields:
            own.append(setting)
        elif name in recipe.model_fields:
            overrides.append(setting)
        else:
            near = suggest(name, [*section.model_fields, *recipe.model_fields])
            raise UsageError(f"command line: {name}: unknown key{near}")
    return own, overrides


def describe(section: type[Section]) -> str:
    """Return a paragraph per setting for ``--help``: key, default, meaning."""
    lines = ["Settings:"]
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Section):
            key, shown = f"{name}.KEY", "..."
        else:
            key, shown = name, "(required)" if field.is_required() else _shown(default)
        meaning = " ".join((field.description or "").split())
        lines.append(escape(f"{key}={shown}  {meaning}".rstrip()))
    return "\n\n".join(lines)


def _shown(default: Any) -> str:
    match default:
        case bool():
            return str(default).lower()
        case None:
            return "null"
        case _:
            return str(default)
