"""Untrusted text, made safe to show to a judge.

A policy under training is an adversary of its judge: whatever raises the reward gets
reinforced, "Score: 2" included. Three rules keep a candidate a piece of data. It holds no
token that a chat template gives a meaning to, it is no longer than a cap, and it is
set in a fence longer than any run of backticks inside it. The fourth rule belongs to the prompts:
the last word in a message is ours.
"""

from __future__ import annotations

import re
import unicodedata

# Control tokens of chat templates, matched loosely: removing a word that only looks like
# one costs an honest answer nothing.
_CONTROL = re.compile(
    r"""
      <\s*[|｜][^<>\n]{0,80}[|｜]\s*>          # <|im_start|>, <|eot_id|>, <｜User｜>
    | </?\s*(?:s|bos|eos|pad|unk|mask|sys|start_of_turn|end_of_turn|start_of_image
              |think|answer|tool_call|tool_response|tools|system|user|assistant
              |video|image|audio)\s*/?>
    | <</?\s*SYS\s*>>                          # Llama 2
    | \[/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS
              |BOS|EOS|gMASK|SEP|CLS)\s*\]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BRACKETS = re.compile(r"[<>\[\]]")
_PASSES = 8
_BACKTICKS = re.compile(r"`+")


def neutralise(text: str) -> str:
    """Remove control tokens, invisible characters and surrounding space from ``text``.

    Dropped are Unicode's control (Cc), format (Cf: zero-width, bidirectional, tags),
    surrogate (Cs) and private-use (Co) characters; line breaks and tabs stay. Removal is
    repeated, because taking a token out of ``<|im_<|x|>start|>`` makes another. Text nested
    deeper than any honest one loses its brackets instead, so that it costs no time either.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(
        c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    for _ in range(_PASSES):
        cleaned = _CONTROL.sub(" ", text)
        if cleaned == text:
            return text.strip()
        text = cleaned
    return _BRACKETS.sub(" ", text).strip()


def cap(text: str, max_chars: int) -> str:
    """Cut ``text`` to ``max_chars`` characters, with a mark where it was cut."""
    return text if len(text) <= max_chars else text[:max_chars].rstrip() + " […]"


def fence(text: str) -> str:
    """Set ``text`` between two lines of backticks, longer than any run of them inside."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}\n{text}\n{ticks}"
