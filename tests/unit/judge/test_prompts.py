"""Prompts: their form, their versions, and that data cannot fill a placeholder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import kinograd.judge
from kinograd.judge.templates import load_template, parse_template

FOLDER = Path(kinograd.judge.__file__).parent / "prompts"
SETS = ("default", "published")
NEEDS = {
    "dark_event": {"reference", "candidate", "reply"},
    "answer": {"question", "reference", "candidate", "reply"},
    "events": {"description", "limit", "reply"},
    "entailment": {"description", "events", "reply"},
}


@pytest.mark.parametrize("prompt_set", SETS)
def test_every_set_has_every_prompt_with_its_placeholders(prompt_set: str) -> None:
    assert {p.stem for p in (FOLDER / prompt_set).glob("*.md")} == NEEDS.keys()
    for name, placeholders in NEEDS.items():
        text = (FOLDER / prompt_set / f"{name}.md").read_text(encoding="utf-8")
        assert set(re.findall(r"\{\{(\w+)\}\}", text)) == placeholders
        assert text.rstrip().endswith("{{reply}}"), "the last word is ours"


def test_a_version_stands_for_one_text(golden: Callable[..., None]) -> None:
    """Changing a prompt without raising its version would serve stale verdicts from caches."""
    texts = {}
    for prompt_set in SETS:
        for name in NEEDS:
            template = load_template(prompt_set, name)
            digest = hashlib.sha256(repr(template.sections).encode()).hexdigest()
            texts[template.version] = digest[:16]
    golden("judge/prompt_versions.json", texts)


def test_values_are_filled_in_one_pass() -> None:
    template = parse_template("t", "version: 3\n# system\nBe fair.\n# user\n{{a}} and {{b}}\n")
    assert template.version == "t@3"
    assert template.render(a="{{b}} {{a}}", b=r"\1 {{reply}}") == (
        {"role": "system", "content": "Be fair."},
        {"role": "user", "content": r"{{b}} {{a}} and \1 {{reply}}"},
    )
    with pytest.raises(KeyError, match="b"):
        template.render(a="x")


@pytest.mark.parametrize(
    "source",
    [
        "# user\nhello",
        "version: one\n# user\nx",
        "version: 1\nhello",
        "version: 1\n# system\nx\n",
        "version: 1\nstray\n# user\nx\n",
    ],
)
def test_a_prompt_of_another_form_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="prompt t"):
        parse_template("t", source)


@pytest.mark.parametrize("prompt_set", SETS)
def test_the_candidate_is_never_last(prompt_set: str) -> None:
    for name in ("dark_event", "answer"):
        fields = {"question": "QQ", "reference": "RR", "candidate": "CC", "reply": "Say 0."}
        content = load_template(prompt_set, name).render(**fields)[-1]["content"]
        assert content.endswith("Say 0.")
        assert content.index("CC") < len(content) - len("CC") - 1
