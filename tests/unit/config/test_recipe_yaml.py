"""Recipes that are hostile or broken: one line with file and place, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinograd.cli import main
from kinograd.config.load import load_recipe
from kinograd.config.recipe_yaml import parse_yaml
from kinograd.types import UsageError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: !!binary aGk=\n", "r:2:4: the type '!!binary' is not known"),
        ("b: !!set {x, y}", "'!!set' is not known"),
        ("b: !!timestamp 2026-01-01", "'!!timestamp' is not known"),
        ("b: !!python/object:os.system x", "'!!python/object:os.system' is not known"),
        ("b: !mine x", "'!mine' is not known"),
        ("b: !!map [x]", "'!!map' is not known"),
        ("b: !!omap [x: 1]", "'!!omap' is not known"),
        ('b: !!int "0x_"', "'0x_' is no int"),
        ("b: !!float abc", "'abc' is no float"),
        ("b: !!bool maybe", "'maybe' is no bool"),
        (f"b: {'9' * 5000}", "a number of 5000 digits"),
        ("b: &x [*x]", "nested deeper"),
        ("b: &x {a: *x}", "nested deeper"),
        ("b: " + "[" * 5000, "r:1:68: nested deeper"),
        ("b:\n" + "".join(" " * n + "a:\n" for n in range(1, 400)), "nested deeper"),
        (BOMB, "more than 100000 values"),
        ('b: "a\\0b"', "may not hold NUL"),
        ('"a\\0": b', "may not hold NUL"),
        ('b: "\\ud800"', "half of a surrogate pair"),
        ("a: 1\nb: \x07", "r:2: the character U+0007 is not allowed"),
        ("? [a]\n: b", "is not text; quote it"),
        ("1: b", "the key '1' is not text; quote it"),
        ("a: 1\na: 2", "r:2:1: the key 'a' occurs twice"),
        ("a: *b", "undefined alias"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_what_no_recipe_may_hold(text: str, problem: str) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError) as caught:
        parse_yaml(text, "r")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert time.monotonic() - began < 5


def test_anchors_of_a_recipe_are_expanded() -> None:
    assert parse_yaml("a: &x {n: 1}\nb: [*x, *x]", "r") == {"a": {"n": 1}, "b": [{"n": 1}] * 2}


def test_a_recipe_that_cannot_be_read_is_status_2(tmp_path: Path, capsys) -> None:
    path = tmp_path / "r.yaml"
    for text in ("b: &x [*x]", "b: !!binary x", BOMB):
        path.write_text(text)
        assert main(["config", "show", str(path)]) == 2
        assert capsys.readouterr().err.startswith(f"kinograd: {path}:")
    path.write_text("method: rl\n")
    assert main(["config", "show", str(path), "a" + ".a" * 3000 + "=1"]) == 2
    assert "nested deeper than 64 tables" in capsys.readouterr().err
    assert main(["config", "show", str(path), "a=" + "[" * 3000]) == 2
    assert "override a:1:" in capsys.readouterr().err
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(["a\0.yaml"])


@settings(max_examples=300, deadline=None)
@given(text=st.text("ab:-[]{}&*!|>%@`'\"#?,~ \n\t01.e\\", max_size=60))
def test_no_text_gives_a_traceback(text: str) -> None:
    try:
        parse_yaml(text, "r")
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may as well be good YAML
