"""Words of order and of doubt in a caption (VidBridge-R1's keyword reward).

The released code searches for substrings: "once" is found in "concern", "then" in
"strengthen", "may" in "mayor". It counts "begin with" and "to begin with" twice, and one
word of doubt cancels all words of order. The default counts whole words, each phrase once,
and lets the two kinds balance.
"""

from __future__ import annotations

import re

# The lists of the released code, in its order: the published rule depends on neither
# order nor repetition, but readers compare.
ORDER = (
    "start with", "starts with", "then", "next", "after", "begin with", "begins with",
    "followed by", "following", "subsequently", "thereafter", "later", "initially", "first",
    "second", "third", "begin to", "begins to", "finally", "lastly", "to begin with",
    "as a starting point", "in the beginning", "at the outset", "once", "when", "whenever",
    "meanwhile", "simultaneously",
)  # fmt: skip
DOUBT = (
    "possibly", "suggesting", "likely", "appears to", "appearing", "designed to", "seems to",
    "might", "may", "could", "potentially", "presumably", "probably", "perhaps", "allegedly",
    "reportedly", "supposedly", "apparently", "arguably", "tentatively", "hypothetically",
    "theoretically", "in theory", "in some cases", "occasionally", "sometimes", "rarely",
    "unclear", "ambiguous", "vague", "speculative", "indicative of", "hinting at", "implying",
    "inferring", "open to interpretation", "subject to change", "not necessarily",
)  # fmt: skip
STEP, LIMIT = 0.2, 0.4


def _whole(phrases: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(longest_first)})\b")


_ORDER, _DOUBT = _whole(ORDER), _whole(DOUBT)


def keyword_reward(answer: str) -> float:
    """0.2 for each phrase of order less 0.2 for each of doubt, within [-0.4, 0.4].

    >>> keyword_reward("The concerned mayor strengthens his arms for seconds.")
    0.0
    """
    text = " ".join(answer.lower().split())
    order, doubt = set(_ORDER.findall(text)), set(_DOUBT.findall(text))
    return max(-LIMIT, min(LIMIT, STEP * (len(order) - len(doubt))))


def published_keyword_reward(answer: str) -> float:
    """Count as the released code does: substrings, no lower limit, doubt cancels order."""
    text, reward = answer.lower(), 0.0
    if not answer:
        return reward
    for phrase in ORDER:
        if phrase in text:
            reward += STEP
    for phrase in DOUBT:
        if phrase in text:
            reward = min(reward, 0.0) - STEP
    return min(reward, LIMIT)
