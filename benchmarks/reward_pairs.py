"""Generated pairs of a response and a reference: honest answers and odd ones, by kind and mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kinograd.keys import generator
from kinograd.types import Verdict

R1, EVAL, VID = "published:video_r1", "published:video_r1_eval", "published:vidbridge"
OPEN, OPEN1 = "published:open_r1_video", "published:open_r1_video_v1"
DVD, DVD_EVAL = "published:dvd_counting", "published:dvd_counting_eval"
CASES = [
    *((R1, k) for k in ("multiple_choice", "numerical", "ocr", "free_form", "regression")),
    *((EVAL, k) for k in ("multiple_choice", "numerical", "regression")),
    *((VID, k) for k in ("multiple_choice", "dark_event", "mix_vid", "caption")),
    *((m, "multiple_choice") for m in (OPEN, OPEN1)),
    *((m, "numerical") for m in (DVD, DVD_EVAL)),
]


@dataclass(frozen=True)
class Pair:
    mode: str
    kind: str
    completion: str
    solution: str  # with tags, as in the source's data
    options: tuple[str, ...]
    verdict: Verdict | None


OPTIONS = ("A. a red ball", "B. a blue cube", "C. two dogs", "D. none of them")
WORDS = (
    *("the", "chef", "first", "slices", "then", "fries", "onion", "pan", "while", "concerned"),
    *("mayor", "strengthens", "cart", "may", "possibly", "once", "after", "finally", "dog"),
    *("runs", "left", "right", "camera", "cyclist", "stops"),
)
SCRIPTS = ("一只狗", "кошка бежит", "ｆｕｌｌ width", "ﬁre", "café")


T = TypeVar("T")


class Dice:
    """Draws addressed by the seed and the number of the pair."""

    def __init__(self, *key: object) -> None:
        self._generator = generator("reward pairs", *key)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def integer(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return int(self._generator.integers(low, high + 1))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return float(self._generator.uniform(low, high))

    def order(self, count: int) -> list[int]:
        return [int(i) for i in self._generator.permutation(count)]


def _letter_answer(r: Dice, gold: str) -> str:
    x = gold if r.uniform() < 0.6 else r.choice("ABCD")
    text = OPTIONS["ABCD".index(x)]
    forms = [x, f"{x}.", f"({x})", f"\\boxed{{{x}}}", x.lower(), f"{x.lower()}. it", text, text[3:]]
    forms += [f"The answer is {x}", f"{x} and C", f"not A. but {x}", "", "E", f" {x} \n", f"{x}B"]
    return r.choice(forms)


def _gold_number(r: Dice) -> str:
    value = r.choice([r.integer(0, 12), r.integer(-50, 5000), r.uniform(-2, 2), r.uniform(0, 1e4)])
    if isinstance(value, int):
        return r.choice([str(value), f"{value:,}", f"{value}.0"])
    return f"{value:.{r.integer(1, 4)}f}"


def _number_answer(r: Dice, gold: str) -> str:
    value = float(gold.replace(",", "")) * r.choice([1, 1, 1, 1.001, 1.1, -1, 2])
    value += r.choice([0, 0, 0, 0.004, 1])
    forms = [gold, gold, str(value), f"{value:.2f}", f"{value:.0f}", f"{value:,.1f}", f"{value} cm"]
    forms += [f"{value}%", f"about {value:.1f}", f"{value:.0f} apples", "five", "twenty-one"]
    forms += [
        "1/2",
        "\\frac{1}{4}",
        "1,5",
        "nan",
        "inf",
        "1_000",
        "",
        "5 or 6",
        "\\sqrt{4}",
        "9**9**9",
    ]
    return r.choice(forms)


def _sentence(r: Dice) -> str:
    if r.uniform() < 0.1:
        return r.choice(SCRIPTS)
    return " ".join(r.choice(WORDS) for _ in range(r.choice([1, 2, 5, 12])))


def _text_answer(r: Dice, gold: str) -> str:
    words = gold.split()
    words = [words[j] for j in r.order(len(words))]
    forms = [gold, gold, " ".join(words), _sentence(r), gold.upper(), f"{gold}\n{_sentence(r)}", ""]
    return r.choice([*forms, gold.replace(" ", "  "), " ".join(words[: len(words) // 2])])


def _completion(r: Dice, answer: str) -> str:
    think = r.choice(["so", "it was 3 times", "The answer is $\\frac{1}{2}$", "I see 7 and 12"])
    usual = f"<think>{think}</think>{r.choice(['', ' ', chr(10)])}<answer>{answer}</answer>"
    odd = [
        f"{usual} bye", f" {usual}\n", f"<answer>{answer}</answer>", answer, "",
        f"<think>{think} <answer>B</answer></think><answer>{answer}</answer>",
        f"<think>{think}</think><answer>{answer}", f"<think>{think}",
        f"{usual}<answer>A</answer>", f"<think>{think}</think><answer>\n{answer}\n</answer>",
        f"<think>{think}</think> so <answer>{answer}</answer>", f"<think></think><answer>{answer}",
    ]  # fmt: skip
    return usual if r.uniform() < 0.6 else r.choice(odd)


def pairs(count: int, seed: int = 0) -> Iterator[Pair]:
    for i in range(count):
        r = Dice(seed, i)
        mode, kind = CASES[i % len(CASES)]
        verdict = None
        if kind == "multiple_choice":
            gold = r.choice("ABCD")
            answer = _letter_answer(r, gold)
            gold = f"{gold}." if mode.startswith(OPEN) and r.uniform() < 0.7 else gold
        elif kind in ("numerical", "regression"):
            gold = str(r.integer(0, 12)) if mode.startswith(DVD) else _gold_number(r)
            answer = _number_answer(r, gold)
        else:
            gold = _sentence(r)
            answer = _text_answer(r, gold)
        if kind == "caption":
            verdict = Verdict(
                None, {"recall": r.integer(0, 5) / 5, "precision": r.integer(0, 4) / 4}
            )
        elif kind in ("dark_event", "mix_vid"):
            verdict = Verdict(float(r.integer(0, 2 if kind == "dark_event" else 1)))
        gold = f" {gold} " if mode.startswith(DVD) else gold
        options = OPTIONS if kind == "multiple_choice" else ()
        completion = _completion(r, answer)
        yield Pair(mode, kind, completion, f"<answer>{gold}</answer>", options, verdict)
