"""Child of ``fuzz.py``: mutate answers, rows, recipes and judge replies, one per attempt."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from kinograd import cli
from kinograd.config.schema import OpenAIJudge
from kinograd.datasets.jsonl import read_lines
from kinograd.datasets.rows import Rejected
from kinograd.judge.model_judge import ModelJudge
from kinograd.rewards.rubric import grade_text
from kinograd.types import JudgeRequest, Kind, KinogradError

Attempt = Callable[[np.random.Generator], tuple[str, str]]
SCRAPS = [
    "\0", "\ud83d", "\u200b", "９", "½", "\\frac", "\\boxed{", "{", "}", "<answer>", "</answer>",
    "<think>", "**", "$", "%", "-", "–", "+", "e", "e9999", "1" * 400, "[" * 300, "{" * 300,
    "null", "NaN", "Infinity", "&a [*a]", "*a", "!!binary x", "!!float abc", "- ", ": ", "\n",
    "\t", '"', "'", "\\", "\\u", "\\ud83d", "答案", "（", "，", "A", "B.", "(C)", " and ", " or ",
]  # fmt: skip


def mutated(text: str, rng: np.random.Generator) -> str:
    """Insert, delete, repeat or swap pieces of ``text`` up to four times."""
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(text) + 1))
        to = min(len(text), at + int(rng.integers(12)))
        kind = int(rng.integers(4))
        if kind == 0:
            text = text[:at] + str(rng.choice(SCRAPS)) + text[at:]
        elif kind == 1:
            text = text[:at] + text[to:]
        elif kind == 2:
            text = text[:to] + text[at:to] * int(rng.integers(1, 40)) + text[to:]
        else:
            text = text[:at] + text[at:to][::-1] + text[to:]
    return text


# --------------------------------------------------------------------- answers

WRAPPERS = [
    "{}", "{}.", "**{}**", "${}$", "\\boxed{{{}}}", "The answer is {}", "about {}", "({})", "= {}",
    "x = {}", "It is {}.", " {} ", "{} ", "\\({}\\)", "answer: {}", "答案：{}", "{} in total",
]  # fmt: skip


def spellings(value: Fraction) -> Iterator[str]:
    """Ways in which people and models write one number."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    signs = [sign] if not sign else ["-", "−", "–", "minus ", "negative ", "- "]
    if size.denominator == 1:
        bodies = [str(size), f"{int(size):,}", f"{size}.0", f"{size}.00"]
    else:
        decimal = f"{float(size):.6f}".rstrip("0")
        exact = Fraction(decimal) == size
        bodies = [f"{size.numerator}/{size.denominator}"]
        bodies += [f"\\frac{{{size.numerator}}}{{{size.denominator}}}"]
        bodies += [decimal] if exact else []
    for prefix in signs:
        yield from (prefix + body for body in bodies)


def answer(rng: np.random.Generator) -> tuple[str, str]:
    """A number in some spelling and wrapper is right for itself only; noise must end as a score."""
    if rng.random() < 0.4:
        kind = Kind(str(rng.choice(["numerical", "regression", "multiple_choice", "free_form"])))
        text = mutated(str(rng.choice(["-3/4", "B. red", "3 x 10^8", "the ball falls"])), rng)
        gold = "B" if kind is Kind.MULTIPLE_CHOICE else "3"
        response = f"<think>x</think><answer>{text}</answer>"
        score = grade_text(kind, response, gold, ("A. blue", "B. red", "C. green"))
        return ("named_error" if score.unscored else "right"), ""
    value = Fraction(int(rng.integers(-500, 500)), int(rng.choice([1, 1, 1, 2, 4, 5, 8, 100])))
    text = str(rng.choice(WRAPPERS)).format(str(rng.choice(list(spellings(value)))))
    response = f"<think>x</think><answer>{text}</answer>"
    wrong = [-value, value + 1, value * 10] if value else [Fraction(1)]
    for other in wrong:
        gold = f"{other.numerator}/{other.denominator}" if other.denominator > 1 else str(other)
        if grade_text(Kind.NUMERICAL, response, gold).correct:
            return "silent_wrong", f"{text!r} passes for {gold}"
    gold = f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value)
    score = grade_text(Kind.NUMERICAL, response, gold)
    if score.correct:
        return "right", ""
    if score.unscored or not score.parts.get("answered"):
        return "named_error", ""
    return "silent_wrong", f"{text!r} fails for {gold}: {score.detail}"


# ------------------------------------------------------------- rows and recipes

ROW = {
    "id": "a", "kind": "numerical", "question": "How many?", "options": [], "answer": "3",
    "media": [{"type": "video", "cut": [{"path": "a.mp4", "start": 0.0, "end": 2.5}]}],
    "rationale": None, "source": "x", "split": "train", "extra": {"n": 1},
}  # fmt: skip
RECIPE = """model: {path: nowhere}
data: {train: [rows.jsonl], media_root: .}
video: {nframes: 4, fps: null}
optim: {lr: 1e-6, betas: [0.9, 0.95]}
sft: {steps: 3, batch_size: 2}
run: {dir: runs/x, seed: 0}
"""


def row(rng: np.random.Generator, folder: Path) -> tuple[str, str]:
    """A mutated line of JSONL is an example or a rejection with a reason."""
    text = mutated(json.dumps(ROW), rng)
    file = folder / "rows.jsonl"
    file.write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
    found = [r for _, r in read_lines(file)]
    return ("named_error" if any(isinstance(r, Rejected) for r in found) else "right"), ""


def recipe(rng: np.random.Generator, folder: Path) -> tuple[str, str]:
    """A mutated recipe resolves, or is refused with one line and status 2."""
    file = folder / "recipe.yaml"
    file.write_bytes(mutated(RECIPE, rng).encode("utf-8", "surrogatepass"))
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(["sft", str(file), "--dry-run"])
    said = errors.getvalue().strip()
    if status == 0:
        return "right", ""
    return ("named_error" if status == 2 and said else "traceback"), said[:200]


# --------------------------------------------------------------------- replies

CHARSETS = ["utf-8", "undefined", "hex", "base64", "utf-32", "idna", "rot13", "latin-1", "x"]


class Server(ThreadingHTTPServer):
    """A judge endpoint on loopback that sends whatever ``reply`` holds."""

    reply: tuple[int, dict[str, str], bytes] = (200, {}, b"")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.server.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def reply(rng: np.random.Generator, server: Server, judge: ModelJudge) -> tuple[str, str]:
    """A mutated reply is a verdict or an unscored one with its reason."""
    text = str(rng.choice(["0", "1", "2", "two", "{}", '{"verdict": "2"}', "\ud83d"]))
    message = {"role": "assistant", "content": text}
    body: dict[str, object] = {
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }  # fmt: skip
    data = json.dumps(body)
    if rng.random() < 0.8:
        data = mutated(data, rng)
    status = int(rng.choice([200, 200, 200, 200, 400, 500, 429, 302, 204]))
    kind = f"application/json; charset={rng.choice(CHARSETS)}"
    headers = {"Content-Type": kind, "Connection": "close"}
    if status == 302:
        headers["Location"] = "http://127.0.0.1:9/elsewhere"
    server.reply = (status, headers, data.encode("utf-8", "surrogatepass"))
    request = JudgeRequest(Kind.DARK_EVENT, "What?", "a dog", f"a cat {rng.integers(1 << 60)}")
    (verdict,) = asyncio.run(judge.judge([request]))
    if verdict.value is None:
        return "named_error", verdict.detail[:200]
    return ("right" if verdict.value in (0.0, 1.0, 2.0) else "silent_wrong"), str(verdict)


def open_judge() -> tuple[Server, ModelJudge]:
    """A server on loopback and a judge that has agreed with it on the form of replies."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = OpenAIJudge(
        urls=[f"http://127.0.0.1:{server.server_port}/v1"], model="m", verdict="text",
        timeout_s=5.0, deadline_s=0.2,
    )  # fmt: skip
    fine = {"index": 0, "message": {"role": "assistant", "content": "2"}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [fine]}
    server.reply = (200, {"Content-Type": "application/json"}, json.dumps(body).encode())
    judge = ModelJudge("fuzz", config, 0.001)
    asyncio.run(judge.judge([JudgeRequest(Kind.DARK_EVENT, "What?", "a dog", "a cat")]))
    return server, judge


# -------------------------------------------------------------------------- run


def main() -> None:
    target, seed, start, stop = sys.argv[1], *map(int, sys.argv[2:])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        attempts: dict[str, Attempt] = {
            "answers": answer,
            "rows": lambda rng: row(rng, root),
            "recipes": lambda rng: recipe(rng, root),
        }
        if target == "replies":
            server, judge = open_judge()
            attempts["replies"] = lambda rng: reply(rng, server, judge)
        for number in range(start, stop):
            rng = np.random.default_rng([seed, number])
            try:
                end, what = attempts[target](rng)
            except KinogradError as error:
                end, what = "named_error", str(error)
            except Exception as error:  # noqa: BLE001  counted: that is what this program is for
                end, what = "traceback", f"{type(error).__name__}: {error}"
            record = {"try": number, "end": end, "what": what[:300]}
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
