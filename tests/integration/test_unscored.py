"""Unscored is not wrong: what has no score moves no weight, and is counted."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinograd import files
from kinograd.budget import TooManyFailures
from kinograd.train import rl, session
from kinograd.types import Example, Group, KinogradError, Rollout

Recipe = Callable[..., Any]


def ill(rollout: Rollout) -> bool:
    return int(rollout.token_ids.sum()) % 3 == 0


def fragile(example: Example, rollout: Rollout) -> float:
    if ill(rollout):
        raise RuntimeError("the grader's server is away")
    return int(rollout.token_ids.sum()) % 5 / 4


@pytest.fixture
def sometimes_unscored(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    module = ModuleType("kinograd_fragile_reward")
    module.fragile = fragile  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    custom = [{"target": f"{module.__name__}:fragile", "replaces": "accuracy"}]
    return {"reward": {"format": "off", "custom": custom}}


def weights(run: Path, step: int = 2) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step}" / "weights.safetensors")


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"algo": {"kl": {"beta": 0.1}, "minibatches": 2}},
        {"algo": {"type": "t_grpo"}},
        {"algo": {"aggregate": "token_mean", "advantage": "leave_one_out"}},
    ],
    ids=["grpo", "minibatches and KL", "t-grpo", "token mean, leave one out"],
)
def test_unscored_rollouts_are_as_if_they_had_never_been(
    recipe: Recipe,
    sometimes_unscored: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    over: dict[str, Any],
) -> None:
    config = recipe("rl", sometimes_unscored, over, {"rl": {"group_size": 6}})
    rl.train_rl(config)
    rows = files.read_records(Path(config.run.dir) / "metrics.jsonl")
    missing = sum(r["reward/unscored_grader_error"] for r in rows)
    assert 0 < missing < 2 * 3 * 6
    assert all(r["optim/updates"] for r in rows)

    grade = session.score_groups

    def without(group: Group) -> Group:
        keep = np.flatnonzero(group.scored)
        assert all(ill(r) != s for r, s in zip(group.rollouts, group.scored, strict=True))
        return replace(
            group,
            rollouts=tuple(group.rollouts[i] for i in keep),
            scores=tuple(group.scores[i] for i in keep),
            twin=group.twin and without(group.twin),
        )

    def removed(groups: Sequence[Group], **options: Any) -> list[Group]:
        return [without(g) for g in grade(groups, **options)]

    monkeypatch.setattr(session, "score_groups", removed)
    rl.train_rl(recipe("rl", sometimes_unscored, over, {"rl": {"group_size": 6}},
                       {"run": {"dir": str(tmp_path / "removed")}}))  # fmt: skip
    a, b = weights(Path(config.run.dir)), weights(tmp_path / "removed")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("fails", "limit", "message"),
    [
        (True, "UNSCORED_STEPS", "no rollout has had a score for 2 steps"),
        (False, "IDLE_STEPS", "nothing has been learned for 2 steps"),
    ],
    ids=["always fails", "always the same"],
)
def test_a_reward_that_teaches_nothing_stops_the_run_with_a_checkpoint(
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
    limit: str,
    message: str,
) -> None:
    def useless(example: Example, rollout: Rollout) -> float:
        if fails:
            raise RuntimeError("the grader's server is away")
        return 0.5

    module = ModuleType("kinograd_useless_reward")
    module.useless = useless  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(session, limit, 2)
    custom = [{"target": f"{module.__name__}:useless", "replaces": "accuracy"}]
    config = recipe("rl", {"reward": {"format": "off", "custom": custom}, "rl": {"steps": 5}},
                    {"run": {"save_every": 100}})  # fmt: skip
    with pytest.raises(KinogradError, match=message):
        rl.train_rl(config)
    run = Path(config.run.dir)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-2"]
    assert [r["step"] for r in files.read_records(run / "metrics.jsonl")] == [1, 2]


def test_unreadable_held_out_clips_stop_the_run_after_its_step_is_saved(
    recipe: Recipe, world: Path, tmp_path: Path
) -> None:
    row = json.loads((world / "held_out.jsonl").read_text().splitlines()[0])
    row["media"] = [{"type": "video", "path": "gone.mp4"}]
    data = tmp_path / "held_out.jsonl"
    data.write_text(json.dumps(row) + "\n")
    over = {
        "run": {"eval_every": 1, "save_every": 100},
        "eval": {"data": [str(data)]},
        "rl": {"steps": 3},
    }
    config = recipe("rl", over)
    with pytest.raises(TooManyFailures, match=r"1 of 1 examples could not be read.*gone\.mp4"):
        rl.train_rl(config)
    saved = Path(config.run.dir) / "checkpoints"
    assert [p.name for p in saved.iterdir()] == ["step-1"]


class Judge(BaseHTTPRequestHandler):
    """Gives a grade by the length of the question, until it is told to be ill."""

    ill = False

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        grade = str(len(self.rfile.read(size)) % 3)
        message = {"role": "assistant", "content": grade}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()
        self.send_response(503 if Judge.ill else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def judge_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Judge, "ill", False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def test_a_judge_that_goes_away_teaches_nothing_from_then_on(
    recipe: Recipe,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    judge_url: str,
) -> None:
    """It answers for the first step; then every verdict is missing and no weight moves."""
    rows = [json.loads(line) for line in (world / "train.jsonl").open()]
    data = tmp_path / "dark.jsonl"
    data.write_text("".join(json.dumps(r | {"kind": "dark_event"}) + "\n" for r in rows))
    judge = {
        "type": "openai",
        "urls": [judge_url],
        "model": "m",
        "verdict": "text",
        "max_retries": 0,
        "max_failure_rate": 1.0,
    }
    config = recipe(
        "rl",
        {
            "data": {"train": [str(data)]},
            "reward": {"format": "off", "judges": {"dark_event": "j"}},
            "judges": {"j": judge},
            "algo": {"kl": {"beta": 0.1}},
        },
    )
    end_step = session.Session.end_step

    async def taken_on_trust(*_: Any) -> dict[str, Any]:  # this judge knows no canary
        return {}

    monkeypatch.setattr(session, "require_canaries", taken_on_trust)

    def fall_ill(self: session.Session, step: int, total: int, metrics: Any) -> None:
        end_step(self, step, total, metrics)
        Judge.ill = True

    monkeypatch.setattr(session.Session, "end_step", fall_ill)
    rl.train_rl(config)
    run = Path(config.run.dir)
    well, away = files.read_records(run / "metrics.jsonl")
    assert well["reward/std"] > 0
    assert well["optim/updates"] == 1
    assert not any(name.startswith("reward/unscored") for name in well)
    rows = files.read_records(run / "rollouts" / "step-2.jsonl")
    lost = sum(r["unscored"] == "judge_unavailable" for r in rows)
    assert lost == away["reward/unscored_judge_unavailable"]
    assert lost >= 10  # some say nothing that a judge could be asked about: wrong without it
    assert away["reward/dropped_groups"] == 3
    assert away["optim/updates"] == 0
    before, after = weights(run, 1), weights(run, 2)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(r["advantage"] is None for r in rows)
    assert all((r["value"] is None) == (r["unscored"] is not None) for r in rows)


def test_the_tower_sees_a_clip_once_for_rollouts_reference_and_update(
    recipe: Recipe, varied: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen: one pass over each ordered clip and each shuffled one, whatever the group."""
    opened: list[tuple[session.Session, int]] = []

    @contextmanager
    def note(*arguments: Any) -> Iterator[session.Session]:
        with session.open_session(*arguments) as found:
            opened.append((found, found.policy.model.lm.patches_seen))
            yield found

    monkeypatch.setattr(rl, "open_session", note)
    over = {"algo": {"type": "t_grpo", "kl": {"beta": 0.1}, "epochs": 2}, "rl": {"steps": 1}}
    rl.train_rl(recipe("rl", varied, over))
    ((only, before),) = opened
    patches = 4 * 4 * 4  # 8 frames of 56 pixels
    seen = only.policy.model.lm.patches_seen - before + only.reference.copy.patches_seen
    assert seen == 2 * 3 * patches
