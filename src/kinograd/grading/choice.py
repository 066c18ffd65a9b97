"""Multiple choice: which option an answer names.

An answer may be the letter alone in any notation (``B``, ``(b)``, ``Ｂ``, ``【B】``,
``\\boxed{B}``), the text of one option, or a sentence. A sentence is cut into clauses, and every
option letter in it is concluded ("the answer is B", "so C", ``答案：B``), affirmed ("B, because
…", "it is B"), rejected ("not B", "A is wrong", "rather than B") or passed over (the article in
"A man", a label as in "frame A"). A conclusion outranks a mention; two different letters of one
rank, or a letter with another option's text, name none.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MAX_CHARS = 4000  # an answer, not an essay
_OUTER = " \t\r\n$`\"'“”‘’«».,;:!*()[]{}<>"
_OPTION = re.compile(r"^\s*\(?([A-Za-z])\)?[.:)、．：]\s*(.*)$", re.DOTALL)
_SPECIAL = re.compile(r"</?s>|<\|[a-z_]+\|>|\*\*|__")
_COMMAND = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|mathrm|mathbf|mathit)(?![A-Za-z])")
_BRACKETS = str.maketrans("[]{}【】〔〕〈〉《》「」『』", "()()()()()()()()")
_NESTED = re.compile(r"\(\s*(?=\()|(?<=\))\s*\)")
_IDEOGRAPHS = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
# The words of Chinese, Japanese and Korean answers that the reader below knows, longest first.
_TRANSLATED = {
    "正确答案": "answer", "答案": "answer", "答え": "answer", "정답": "answer", "选项": "option",
    "选择": "choose", "應選": "choose", "应选": "choose", "不选": "not", "选": "choose",
    "選": "choose", "不是": "not", "不对": "wrong", "错误": "wrong", "错": "wrong", "是": "is",
    "为": "is", "或者": "or", "或": "or", "和": "and", "与": "and", "及": "and", "所以": "so",
    "因此": "so", "故": "so", "因为": "because", "而不是": "not", "非": "not", "不": "not",
    "。": ". ", "、": ", ", "，": ", ", "；": "; ", "：": ": ",
}  # fmt: skip
_PHRASE = re.compile("|".join(sorted(_TRANSLATED, key=len, reverse=True)))
_TOKEN = re.compile(
    r"(?P<bracket>(?<![A-Za-z0-9])\(\s{0,3}[A-Za-z]\s{0,3}\))"
    r"|(?P<word>[^\W_]+(?:['’\-‐‑][^\W_]+)*)"
    r"|(?P<stop>[.!?;\n])|(?P<pause>[,:]|-{1,3}|[–—])|(?P<sign>[^\s])"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CUES = _words(
    "answer option choice caption statement select choose chose pick picked respuesta réponse"
    " antwort resposta ответ"
)
_CONCLUDING = _CUES - _words("option choice caption statement") | _words("so hence thus therefore")
_FILLERS = _words(
    "is be was are the my final correct best right option choice caption with would should must"
    " likely : = definitely probably it it's as for"
)
_NEGATIONS = _words(
    "not never neither nor wrong incorrect false fails cannot unlikely isn't aren't wasn't can't"
    " don't doesn't couldn't eliminate eliminated exclude excluded excluding except reject unlike"
    " than instead without"
)
_JOINING = _words("and or plus versus vs nor maybe possibly perhaps also both either & / +")
_BEFORE = _FILLERS | _CUES | _JOINING | _CONCLUDING | _NEGATIONS
_BEFORE |= _words(
    "say think guess believe then but yet of rather actually sure certainly surely clearly go"
)
_AFTER = _NEGATIONS | _words(
    "because since as due given for and or is was must rather instead but so if over plus also"
    " fits seems matches"
)
_CONTRAST = _words("but yet so hence thus therefore however because since")


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    low: str


@dataclass(slots=True)
class _Mention:
    letter: str
    at: int
    rank: int
    """3 concluded, 2 affirmed, 1 at the head of a sentence, 0 passed over."""
    rejected: bool = False


def read_choice(answer: str, options: Sequence[str] = ()) -> str | None:
    """Return the letter of the option that ``answer`` names; None if none or several.

    Args:
        options: texts in order, with or without their own letters; without them any
            letter is accepted and texts cannot be recognised.

    >>> read_choice("(b)"), read_choice("red", ["A. blue", "B. red"]), read_choice("A or B")
    ('B', 'B', None)
    """
    if len(answer.strip()) > _MAX_CHARS:
        return None
    texts = option_texts(options)
    letters = tuple(texts) if texts else tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    text = _plain(answer)
    core = text.strip(_OUTER)
    if len(core) == 1 and core.isascii() and core.isalpha():
        return core.upper() if core.upper() in letters else None
    if letter := _by_text(core, texts):
        return letter
    tokens = [
        _Token(str(m.lastgroup), m[0], m[0].lower().replace("’", "'"))
        for m in _TOKEN.finditer(text)
    ]
    mentions = _mentions(tokens)
    for clause in _clauses(tokens):
        _reject(clause, tokens, mentions)
    kept = [m for m in mentions if not m.rejected]
    for rank in (3, 2, 1):
        if not any(m.rank == rank for m in kept):
            continue
        # "B moves past car A" is not clear.
        named = {m.letter for m in kept if m.rank == rank or rank == 1}
        letter = named.pop()
        if named or letter not in letters:
            return None
        head = tokens[0].text.strip("() ").upper() == letter
        if rank < 3 and head and (other := _text_behind_head(text, texts)) and other != letter:
            return None
        return letter
    return None if any(m.rank for m in mentions) else _at_end(core, texts)


def option_texts(options: Sequence[str]) -> dict[str, str]:
    """Map letter to normalised text; a leading ``A.``, ``(A)`` or ``A)`` goes if all have it.

    >>> option_texts(["A. Red ", "B. blue."])
    {'A': 'red', 'B': 'blue'}
    """
    letters, found = _letters(options), [_OPTION.match(o) for o in options]
    bare = [m[2] for m in found if m] if _own_letters(options) == letters else options
    return {k: _normalise(t) for k, t in zip(letters, bare, strict=True)}


def lettered(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options as they are shown: each with its letter, unless all have theirs.

    >>> lettered(["red", "blue"])
    ('A. red', 'B. blue')
    """
    if _own_letters(options) == _letters(options):
        return tuple(options)
    return tuple(f"{k}. {o}" for k, o in zip(_letters(options), options, strict=True))


def options_fault(options: Sequence[str]) -> str | None:
    """Return why no single letter or text could name one of the options; None if it can."""
    letters, own = _letters(options), _own_letters(options)
    if len(options) > 26:
        return f"{len(options)} options, more than there are letters"
    if own != letters and sorted(own) == letters:
        return f"the options' own letters come in the order {', '.join(own)}"
    texts = Counter(option_texts(options).values())
    text, count = texts.most_common(1)[0] if texts else ("", 0)
    return f"{count} options read {text[:60]!r}" if count > 1 else None


def _letters(options: Sequence[str]) -> list[str]:
    return [chr(ord("A") + i) for i in range(len(options))]


def _own_letters(options: Sequence[str]) -> list[str]:
    return [found[1].upper() if (found := _OPTION.match(o)) else "" for o in options]


# --------------------------------------------------------------------- letters


def _plain(text: str) -> str:
    """Return the text in ASCII letters and brackets, known Asian words in English."""
    text = unicodedata.normalize("NFKC", _SPECIAL.sub(" ", text).replace("．", ". "))
    text = _PHRASE.sub(lambda m: f" {_TRANSLATED[m[0]]} ", text)
    text = _IDEOGRAPHS.sub(r" \1 ", text)
    text = _COMMAND.sub("", text).translate(_BRACKETS)
    return _NESTED.sub("", text)


def _mentions(tokens: Sequence[_Token]) -> list[_Mention]:
    """Find the option letters of an answer, with the words around them as their rank."""
    found: list[_Mention] = []
    for at, token in enumerate(tokens):
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        bracketed = token.kind == "bracket"
        letter = token.text.strip("() ")
        if not (bracketed or (token.kind == "word" and len(letter) == 1 and letter.isascii())):
            continue
        if not letter.isalpha():
            continue
        if letter.islower() and not bracketed:
            ends = after is None or after.kind != "word"
            lead = _lead(tokens, at)
            if not ends or (lead is not None and lead.low not in _CUES):
                continue
        in_prose = after is not None and after.kind == "word" and after.low not in _AFTER
        in_prose = in_prose and len(after.text) > 1 if after is not None else False
        if letter in ("A", "I", "a", "i") and in_prose and not bracketed:
            continue  # an article or a pronoun
        rank = _rank(tokens, at, in_prose)
        if found and all(t.low in _JOINING or t.text == "," for t in tokens[found[-1].at + 1 : at]):
            rank = max(rank, found[-1].rank)  # "the answer is B or C"
        found.append(_Mention(letter.upper(), at, rank))
    return found


def _rank(tokens: Sequence[_Token], at: int, in_prose: bool) -> int:
    lead = _lead(tokens, at)
    if lead is not None and lead.low in _CONCLUDING and not (in_prose and tokens[at - 1] is lead):
        return 3
    before = tokens[at - 1] if at else None
    if tokens[at].kind == "bracket":
        return 2
    if in_prose:
        head = before is None or before.kind in ("stop", "pause")
        return 1 if head else 0
    if before is None or before.kind != "word" or before.low in _BEFORE:
        return 2
    return 2 if len(before.text) == 1 and before.text.isupper() else 0


def _lead(tokens: Sequence[_Token], at: int) -> _Token | None:
    """Return the nearest token before ``at`` that is no filler."""
    back = at - 1
    while back >= 0 and (tokens[back].low in _FILLERS or tokens[back].text in "(\"'"):
        back -= 1
    return tokens[back] if back >= 0 else None


def _clauses(tokens: Sequence[_Token]) -> list[range]:
    """Cut an answer at stops, pauses and words of contrast."""
    bounds = [0]
    for at, token in enumerate(tokens):
        if token.kind in ("stop", "pause") or token.low in _CONTRAST:
            bounds.append(at)
    return [range(a, b) for a, b in zip(bounds, [*bounds[1:], len(tokens)], strict=True)]


def _reject(clause: range, tokens: Sequence[_Token], mentions: Sequence[_Mention]) -> None:
    """Mark the mentions that a clause denies."""
    negations = [at for at in clause if tokens[at].low in _NEGATIONS]
    if not negations:
        return
    inside = [m for m in mentions if m.at in clause]
    before = [m for m in mentions if m.at == clause.start - 1]
    if before and negations[0] <= clause.start + 2:
        inside = [*before, *inside]  # "A. is wrong", "C: no"
    for at in negations:
        later = [m for m in inside if m.at > at]
        if later and all(t.low in _FILLERS or t.low == "of" for t in tokens[at + 1 : later[0].at]):
            _reject_joined(later, tokens)
            continue
        for mention in [m for m in inside if m.at < at] or later:
            mention.rejected = True


def _reject_joined(mentions: Sequence[_Mention], tokens: Sequence[_Token]) -> None:
    """Reject the first of the mentions, and those that "and" or "or" ties to it."""
    last = mentions[0].at
    for mention in mentions:
        if any(t.low not in _JOINING for t in tokens[last + 1 : mention.at]):
            return
        mention.rejected = True
        last = mention.at


# ----------------------------------------------------------------------- texts


def _by_text(text: str, texts: dict[str, str]) -> str | None:
    wanted = _normalise(text)
    same = [k for k, t in texts.items() if t and t == wanted]
    return same[0] if len(same) == 1 else None


def _text_behind_head(text: str, texts: dict[str, str]) -> str | None:
    """Return the option whose text follows the letter that an answer begins with."""
    marked = _OPTION.match(text) or re.match(r"^\s*\(?([A-Za-z])\)?\W+(.*)$", text, re.DOTALL)
    return _by_text(marked[2], texts) if marked else None


def _at_end(text: str, texts: dict[str, str]) -> str | None:
    """Return the option with whose text a sentence ends, if it holds no other and denies none."""
    sentence = f" {_normalise(text)}"
    words = set(sentence.replace("’", "'").split())
    if words & _NEGATIONS or "or" in words:
        return None
    ends = [k for k, t in texts.items() if t and sentence.endswith(f" {t}")]
    if not ends:
        return None
    longest = max(ends, key=lambda k: len(texts[k]))
    before = re.sub(r"\W+", " ", sentence[: -len(texts[longest])])
    others = [t for k, t in texts.items() if k != longest and t]
    return None if any(f" {t} " in before or t == texts[longest] for t in others) else longest


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!;,\"'“”‘’`()")
