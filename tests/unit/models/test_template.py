"""Chat templates that open responses, close them otherwise, or do not fit their model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests import builders

from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import ModelConfig, PromptConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.prompt import encode, encode_response
from kinograd.models.template import check_template
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.types import ORDERED, Example, Kind, Rollout, StopReason, UsageError

QUESTION = Example("e", Kind.NUMERICAL, "2+2?", "4", (), rationale="two and two")
HEADER = "<|im_start|>assistant\n"


@pytest.fixture
def altered(tiny: Path, tmp_path: Path) -> Callable[..., VideoLM]:
    """``altered(edit, **generation)``: the tiny model under an edited chat template."""

    def model(edit: Callable[[str], str] = str, **generation: object) -> VideoLM:
        folder = shutil.copytree(tiny, tmp_path / "model", dirs_exist_ok=True)
        for name in ("tokenizer_config.json", "chat_template.json"):
            settings = json.loads((folder / name).read_text())
            settings["chat_template"] = edit(settings["chat_template"])
            (folder / name).write_text(json.dumps(settings))
        settings = json.loads((folder / "generation_config.json").read_text())
        (folder / "generation_config.json").write_text(json.dumps(settings | generation))
        return load(ModelConfig(path=str(folder), device="cpu"))

    return model


def opens(tags: str) -> Callable[[str], str]:
    return lambda template: template.replace("assistant\n{%", f"assistant\n{tags}{{%")


def whole(model: VideoLM, example: Example, config: PromptConfig) -> tuple[str, str]:
    prompt = encode(example, [], config, model.tokenizer, model.family)
    response = encode_response(example, model.tokenizer)
    return model.tokenizer.decode(prompt.input_ids), model.tokenizer.decode(response)


@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize(
    ("tags", "space"),
    [("<think>", ""), ("<think>\n", "\n"), ("<think>\n\n</think>\n\n", ""), ("<answer>", "")],
)
def test_tags_that_a_template_opens_belong_to_the_response(altered, tags, space, system) -> None:
    model = altered(opens(tags))
    prompt, response = whole(model, QUESTION, PromptConfig(template="plain", system=system))
    assert prompt.endswith(HEADER)
    assert response == f"<think>{space}two and two</think>\n<answer>4</answer><|im_end|>"
    assert ("Be brief." in prompt) == (system is not None)


def test_tags_that_end_the_users_text_stay(altered) -> None:
    model = altered(
        lambda t: t.replace("<|im_end|>\n{% endfor", "{% endfor").split("{% if add_")[0]
    )
    example = replace(QUESTION, question="Answer within <answer> </answer>")
    prompt, _ = whole(model, example, PromptConfig(template="plain"))
    assert prompt.endswith("<answer> </answer>")


def test_a_template_without_a_place_for_the_system_turn_is_refused(altered) -> None:
    drops = "{% for message in messages if message['role'] != 'system' %}"
    refuses = "{{ raise_exception('no system role') if messages[0]['role'] == 'system' }}"
    for edit in (
        lambda t: t.replace("{% for message in messages %}", drops),
        lambda t: refuses + t,
    ):
        model = altered(edit)
        whole(model, QUESTION, PromptConfig(template="plain"))
        with pytest.raises(UsageError, match="no system turn|refuses turns of system and user"):
            whole(model, QUESTION, PromptConfig(template="plain", system="Be brief."))


def test_a_template_that_drops_media_is_refused(altered) -> None:
    model = altered(lambda t: t.replace("<|video_pad|>", ""))
    example = builders.example(media=[builders.video()])
    with pytest.raises(UsageError, match="shows 0 placeholders for 1 media"):
        encode(example, [None], PromptConfig(), model.tokenizer, model.family)  # type: ignore[list-item]


def test_a_template_closes_targets_with_its_own_token(altered) -> None:
    """As base models do: the tokenizer ends texts with another token than turns end with."""
    edit = lambda t: t.replace("<|im_end|>", "<|vision_pad|>")  # noqa: E731
    model = altered(edit)
    assert encode_response(QUESTION, model.tokenizer)[-1] == model.end_tokens[0]
    assert model.tokenizer.convert_ids_to_tokens(model.end_tokens[0]) == "<|vision_pad|>"
    with pytest.raises(UsageError, match="closes a response with '<|vision_pad|>'"):
        check_template(model.tokenizer, model.lm.model)
    ids = list(model.end_tokens)
    model = altered(edit, eos_token_id=ids)
    check_template(model.tokenizer, model.lm.model)


def test_marks_that_are_no_tokens_refuse_to_train(altered) -> None:
    model = altered(lambda t: t.replace("<|im_start|>", "<|begin|>"))
    with pytest.raises(UsageError, match="writes '<|begin|>', which is no token"):
        check_template(model.tokenizer, model.lm.model)
    model = altered(eos_token_id=[10**6])
    with pytest.raises(UsageError, match="lie outside"):
        check_template(model.tokenizer, model.lm.model)


def test_every_end_token_of_the_generation_settings_ends_a_rollout(altered) -> None:
    sampling = SamplingConfig(max_new_tokens=40)

    def rollouts(model: VideoLM) -> tuple[Rollout, ...]:
        prompt = encode(QUESTION, [], PromptConfig(template="plain"), model.tokenizer, model.family)
        requests = [Request(QUESTION, ORDERED, prompt, 8)]
        return (
            InProcessEngine(model, InProcess()).generate(requests, sampling, key=(0,))[0].rollouts
        )

    free = rollouts(altered())
    further = sorted({int(r.token_ids[3]) for r in free})  # tokens that this model draws
    model = altered(eos_token_id=further)
    assert set(model.end_tokens) == {model.tokenizer.eos_token_id, *further}
    for long, short in zip(free, rollouts(model), strict=True):
        cut = next(i for i, t in enumerate(long.token_ids.tolist()) if t in model.end_tokens) + 1
        assert short.token_ids.tolist() == long.token_ids[:cut].tolist()
        assert short.stop is StopReason.END
