"""Canaries: a judge that knows passes, one that can be talked round does not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kinograd.commands.judge import app
from kinograd.config.schema import OpenAIJudge
from kinograd.judge import build_judges, check_canaries, require_canaries
from kinograd.judge.canaries import load_canaries
from kinograd.types import Kind, KinogradError, UsageError

Build = Callable[..., Any]


def fenced(body: dict[str, Any]) -> list[str]:
    content = body["messages"][-1]["content"]
    return [t[1] for t in re.findall(r"^(`{3,})\n(.*?)\n\1$", content, re.DOTALL | re.MULTILINE)]


def knowing(body: dict[str, Any]) -> str:
    """A judge that knows the canaries by heart, whatever the words around them."""
    outputs = body["structured_outputs"]
    if outputs.get("choice") == ["kinograd-accepts"]:
        return "kinograd-accepts"
    blocks = fenced(body)
    if "choice" in outputs:
        (canary,) = (
            c
            for c in load_canaries()
            if c.kind is not Kind.CAPTION and c.reference in blocks and c.id in IDS[blocks[-1]]
        )
        middle = round(sum(canary.value) / 2 + 0.01)
        return outputs["choice"][middle]
    if len(blocks) == 1:
        clauses = [c.strip() for c in re.split(r"[.:]", blocks[0]) if len(c.split()) > 2]
        return "\n".join(f"- {c}" for c in clauses[:10]) or "none"
    events = [line.split(". ", 1) for line in blocks[1].split("\n")]
    return "\n".join(
        f"{i}: {'entailment' if ' '.join(event.split()[-3:]) in blocks[0] else 'neutral'}"
        for i, event in events
    )


def _ids() -> dict[str, list[str]]:
    from kinograd.judge.untrusted import neutralise

    ids: dict[str, list[str]] = {}
    for canary in load_canaries():
        ids.setdefault(neutralise(canary.candidate), []).append(canary.id)
    return ids


IDS = _ids()


def gullible(body: dict[str, Any]) -> str:
    """A judge that knows, but does what the answer says."""
    blocks = fenced(body)
    candidate = blocks[-1] if blocks else ""
    if "choice" in body["structured_outputs"]:
        wish = re.findall(r"\b(2|True)\b", candidate)
        return wish[-1] if wish else knowing(body)
    return knowing(body)


def test_the_set_covers_every_kind_with_honest_and_hostile_answers() -> None:
    canaries = load_canaries()
    assert len({c.id for c in canaries}) == len(canaries)
    for kind in (Kind.DARK_EVENT, Kind.MIX_VID, Kind.CAPTION):
        for attack in (False, True):
            assert sum(c.kind is kind and c.attack is attack for c in canaries) >= 2
    for value in (0, 1, 2):
        assert any(c.value[0] <= value <= c.value[1] and not c.attack for c in canaries)


def test_a_judge_that_knows_passes_past_its_cache(serve: Build, tmp_path: Path) -> None:
    server = serve(knowing)
    config = OpenAIJudge(
        urls=[server.url], model="m", verdict="choice", cache=str(tmp_path / "c.sqlite")
    )
    judges = build_judges({"big": config})
    report = asyncio.run(check_canaries(judges["big"]))
    report.require()
    assert (report.agreement, report.resisted, report.failed) == (1.0, 1.0, ())
    assert (report.mode, len(report.rows)) == ("choice", len(load_canaries()))
    asked = len(server.bodies)
    asyncio.run(check_canaries(judges["big"]))
    assert len(server.bodies) == 2 * asked


def test_a_judge_that_can_be_talked_round_is_refused(serve: Build, model_judge: Build) -> None:
    report = asyncio.run(check_canaries(model_judge(serve(gullible))))
    assert report.agreement == 1.0
    assert report.resisted < 1.0
    with pytest.raises(KinogradError, match="not fit to judge.*dark-attack-score: 2"):
        report.require()


def test_a_judge_that_always_says_the_same_is_refused(serve: Build, model_judge: Build) -> None:
    for index in (0, -1):
        server = serve(lambda body, i=index: body["structured_outputs"]["choice"][i])
        report = asyncio.run(check_canaries(model_judge(server), {Kind.MIX_VID}))
        assert {c.kind for c, _ in report.rows} == {Kind.MIX_VID}
        assert not report.passed


def test_an_unscored_canary_is_no_pass(serve: Build, model_judge: Build) -> None:
    def reply(body: dict[str, Any]) -> str:
        return "Hm." if "wash the salad" in str(body["messages"]) else knowing(body)

    report = asyncio.run(check_canaries(model_judge(serve(reply))))
    assert report.resisted == 1.0
    assert not report.passed
    with pytest.raises(KinogradError, match="judge_unparsable"):
        report.require()


def test_training_asks_every_routed_judge_before_it_starts(serve: Build) -> None:
    good, bad = serve(knowing), serve()
    configs = {
        name: OpenAIJudge(urls=[server.url], model="m", verdict="choice")
        for name, server in (("good", good), ("bad", bad), ("idle", bad))
    }
    judges = build_judges(configs)
    routes = {"dark_event": "good", "free_form": "good"}
    reports = asyncio.run(require_canaries(judges, routes))
    assert reports.keys() == {"good"}
    assert {c.kind for c, _ in reports["good"].rows} == {Kind.DARK_EVENT, Kind.MIX_VID}
    assert not bad.bodies
    with pytest.raises(KinogradError, match="judge 'bad' is not fit to judge"):
        asyncio.run(require_canaries(judges, routes | {"caption": "bad"}))
    with pytest.raises(UsageError, match="nobody"):
        asyncio.run(require_canaries(judges, {"caption": "nobody"}))


# ----------------------------------------------------------------- command line


def recipe(tmp_path: Path, **judges: Any) -> str:
    path = tmp_path / "judges.yaml"
    tree = {
        "method": "eval",
        "run": {"dir": str(tmp_path / "run")},
        "model": {"path": "none"},
        "judges": judges,
    }
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def test_judge_check_prints_agreement_latency_and_cost(serve: Build, tmp_path: Path) -> None:
    good = {"type": "openai", "urls": [serve(knowing).url], "model": "m"}
    bad = {"type": "openai", "urls": [serve(gullible).url], "model": "m"}
    path = recipe(tmp_path, good=good, bad=bad, words={"type": "lexical"})
    prices = ["--price-in", "1.0", "--price-out", "2.0"]
    passed = CliRunner().invoke(app, ["check", path, "--judge", "good", *prices])
    assert passed.exit_code == 0
    shown = passed.output
    assert "good: fit to judge: agreement 100%, attacks resisted 100%" in shown
    assert re.search(r"1,000 verdicts take [\d,]+ prompt and [\d,]+ reply tokens and cost", shown)
    failed = CliRunner().invoke(app, ["check", path])
    assert failed.exit_code == 1
    shown = failed.output
    assert "bad: NOT fit to judge" in shown
    assert "dark-attack-score: 2 for 'Score: 2'" in shown
    assert "words: token overlap" in shown


def test_judge_check_names_what_is_missing(tmp_path: Path) -> None:
    none = CliRunner().invoke(app, ["check", recipe(tmp_path)])
    assert isinstance(none.exception, UsageError)
    assert "no judges to check" in str(none.exception)
    other = recipe(tmp_path, a={"type": "lexical"})
    wrong = CliRunner().invoke(app, ["check", other, "--judge", "b"])
    assert isinstance(wrong.exception, UsageError)
    assert "no judge 'b'" in str(wrong.exception)


def test_the_server_is_local_keyed_and_text_only() -> None:
    from kinograd.judge.serve import serve_command, serve_environment

    command = serve_command("models/judge", served_name="judge", extra=["--port", "9"])
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert {"--enable-prefix-caching", "--language-model-only"} <= set(command)
    assert json.loads(command[command.index("--structured-outputs-config") + 1])
    assert command[-2:] == ["--port", "9"]
    made = serve_environment({"PATH": "/bin"}, "KEY")
    assert made["VLLM_API_KEY"] == made["KEY"]
    assert len(made["KEY"]) >= 24
    assert made["KEY"] not in command
    assert made["KEY"] != serve_environment({}, "KEY")["KEY"]
    assert serve_environment({"KEY": "own"}, "KEY")["VLLM_API_KEY"] == "own"
