#!/usr/bin/env python
"""Check the prose of src/: how docstrings begin, and words that readers stumble over.

    scripts/lint_docstrings.py [ROOM...]        # default: the whole package

A docstring begins with a verb and its object ("Read the rows of …") or, for a class, module
or attribute, with a noun phrase. It does not begin with a word of ``OPENINGS``, which leave
the reader without a subject. ``WORDS`` are banned in docstrings, comments, help and messages;
each comes with the words to use instead. Exit status 1 if there is a finding.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src" / "kinograd"

OPENINGS = re.compile(
    r"(The|Those|These|That|This|It|They|What|Which|Who|Whoever|Whatever|How|When|Where|Why|Of|As"
    r"|Like|Beside|Same|One of|Whether\b[^.]*\bNone if)\b"
)

WORDS = {
    "told": "distinguished, known",
    "apart": "separately, different",
    "(?<!-)alike": "equal, similar",
    "anew": "again",
    "mends?|mended|mending": "fix",
    "films?": "video, clip",
    "crew": "tools, workers",
    "theatre": "synthetic world",
    "scenery": "distractors",
    "nobody|nobody's": "no one, unknown",
    "workings": "rationales",
    "goes on|go on|going on": "resumes, continues",
    "on their way|on its way": "while reading, while writing",
    "from the hip": "without a rationale",
}
_BANNED = {re.compile(rf"\b({word})\b", re.IGNORECASE): use for word, use in WORDS.items()}

# (file, what stands there): texts that are data, not prose.
EXEMPT = {
    ("synthetic/build.py", "theatre"),  # keys of random generators: part of the content
    ("synthetic/build.py", "scenery"),
}

Finding = tuple[Path, int, str]


def lint(path: Path) -> Iterator[Finding]:
    """Yield the findings of one file as (path, line, message)."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    for line, text in _docstrings(tree):
        if opening := OPENINGS.match(text):
            yield path, line, f"docstring opens with {opening.group()!r}; name its subject"
    prose = [(n.lineno, n.value) for n in ast.walk(tree) if _is_text(n)]
    prose += [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    name = path.relative_to(SRC).as_posix()
    for line, text in prose:
        for pattern, use in _BANNED.items():
            for hit in pattern.finditer(text):
                word = hit.group().lower()
                if (name, word) not in EXEMPT:
                    at = line + text[: hit.start()].count("\n")
                    yield path, at, f"{word!r}: write {use}"


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every bare string: of modules, classes, functions, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and _is_text(node.value):
            yield node.lineno, node.value.value.lstrip()  # type: ignore[attr-defined]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def main(rooms: list[str]) -> int:
    """Print the findings of the named rooms, by default of the whole package."""
    roots = [SRC / room for room in rooms] or [SRC]
    paths = [p for r in roots for p in ([r] if r.suffix == ".py" else sorted(r.rglob("*.py")))]
    findings = [finding for path in paths for finding in lint(path)]
    for path, line, message in findings:
        print(f"{path.relative_to(SRC.parents[1])}:{line}: {message}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
