"""Published texts word for word, placeholders of media, and the supervised target."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from kinograd.config.schema import PromptConfig
from kinograd.prompts import EVALUATION, REASON, messages, question_text, response_text
from kinograd.types import Cut, DataError, Example, Kind, Media, MediaType

VIDEO, IMAGE = MediaType.VIDEO, MediaType.IMAGE

# Typed from the papers' repositories, independently of the code.
VIDEO_R1 = (
    "Q?\nPlease think about this question as if you were a human pondering deeply. Engage in an "
    "internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', "
    "'let's break it down', etc, or other natural language thought expressions It's encouraged "
    "to include self-reflection or verification in the reasoning process. Provide your detailed "
    "reasoning between the <think> </think> tags, and then give your final answer between the "
    "<answer> </answer> tags."
)
VIDEO_R1_EVAL = VIDEO_R1.removesuffix(
    "between the <think> </think> tags, and then give your final answer between the <answer> "
    "</answer> tags."
) + (
    "between the <think> and </think> tags, and then give your final answer between the "
    "<answer> and </answer> tags."
)
LETTER = (
    " Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> "
    "</answer> tags."
)
NUMBER = (
    " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags."
)
TRANSCRIBE = (
    " Please transcribe text from the image/video clearly and provide your text answer within "
    "the <answer> </answer> tags."
)
TEXT = " Please provide your text answer within the <answer> </answer> tags."
OPEN_R1_VIDEO = (
    "Q? Output the thinking process in <think> </think> and final answer in <answer> </answer> "
    "tags, i.e., <think> reasoning process here </think><answer> answer here </answer>. "
)
VIDBRIDGE = (
    "Q?\nOutput the thinking process in <think> </think> and final answer in <answer> </answer> "
    "tags, i.e., <think> reasoning process here </think><answer> answer here </answer>. "
)
DVD_COUNTING = (
    "Q?  Output the thinking process in <think> </think> and final answer (number) in <answer> "
    "</answer> tags."
)
DVD_COUNTING_EVAL = (
    "Q? First output the thinking process in <think> </think> and final answer (number) in "
    "<answer> </answer> tags."
)


def media(*types: MediaType) -> tuple[Media, ...]:
    return tuple(Media(t, Cut.whole(f"{i}.mp4")) for i, t in enumerate(types))


def example(
    question: str = "Q?",
    kind: Kind = Kind.FREE_FORM,
    types: tuple[MediaType, ...] = (VIDEO,),
    options: tuple[str, ...] = (),
    rationale: str | None = None,
    answer: str = "x",
) -> Example:
    return Example("e", kind, question, answer, media(*types), options, rationale)


# ---------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("template", "kind", "text"),
    [
        ("video_r1", Kind.MULTIPLE_CHOICE, VIDEO_R1 + LETTER),
        ("video_r1", Kind.NUMERICAL, VIDEO_R1 + NUMBER),
        ("video_r1", Kind.REGRESSION, VIDEO_R1 + NUMBER),
        ("video_r1", Kind.OCR, VIDEO_R1 + TRANSCRIBE),
        ("video_r1", Kind.FREE_FORM, VIDEO_R1 + TEXT),
        ("video_r1_eval", Kind.OCR, VIDEO_R1_EVAL + TRANSCRIBE),
        ("open_r1_video", Kind.MULTIPLE_CHOICE, OPEN_R1_VIDEO),
        ("vidbridge", Kind.DARK_EVENT, VIDBRIDGE),
        ("vidbridge", Kind.CAPTION, VIDBRIDGE),
        ("dvd_counting", Kind.NUMERICAL, DVD_COUNTING),
        ("dvd_counting_eval", Kind.NUMERICAL, DVD_COUNTING_EVAL),
        ("plain", Kind.NUMERICAL, "Q?"),
    ],
)
def test_published_texts_word_for_word(template: str, kind: Kind, text: str) -> None:
    assert question_text(example(kind=kind), PromptConfig(template=template)) == text


def test_every_template_kind_and_mode(golden: Callable[..., None]) -> None:
    texts = {}
    for template, mode in product([*REASON, *EVALUATION], ("reason", "direct")):
        config = PromptConfig(template=template, mode=mode)  # type: ignore[arg-type]
        for kind in Kind:
            options = ("A. up", "B. down") if kind is Kind.MULTIPLE_CHOICE else ()
            shown = question_text(example(kind=kind, options=options), config)
            texts[f"{template} {mode} {kind.value}"] = shown
    golden("prompts.json", texts)


def test_video_r1_lists_options_without_a_newline_before_them() -> None:
    text = question_text(
        example(kind=Kind.MULTIPLE_CHOICE, options=("A. up", "B. down")), PromptConfig()
    )
    assert text.startswith("Q?Options:\nA. up\nB. down\n\nPlease think about")


def test_braces_of_a_question_are_text() -> None:
    text = question_text(example("{question} {0} %s \\n"), PromptConfig(template="dvd_counting"))
    assert text.startswith("{question} {0} %s \\n  Output")


def test_responses_are_video_r1s_process_and_solution() -> None:
    worked = example(rationale="red blue . first red", answer="red")
    assert response_text(worked) == "<think>red blue . first red</think>\n<answer>red</answer>"
    assert response_text(example(answer="red")) == "<answer>red</answer>"


# --------------------------------------------------------------- placeholders


def kinds_in(content: list[dict[str, str]]) -> list[str]:
    return [p["text"] if p["type"] == "text" else p["type"].upper() for p in content]


@pytest.mark.parametrize(
    ("question", "types", "content"),
    [
        ("Why?", (VIDEO,), ["VIDEO", "Why?"]),
        ("Why?", (IMAGE, VIDEO), ["IMAGE", "VIDEO", "Why?"]),
        ("In <video> why?", (VIDEO,), ["In ", "VIDEO", " why?"]),
        ("<image><video>Same?", (IMAGE, VIDEO), ["IMAGE", "VIDEO", "Same?"]),
        (
            "<video> or <video> like <image>",
            (VIDEO, VIDEO, IMAGE),
            ["VIDEO", " or ", "VIDEO", " like ", "IMAGE"],
        ),
    ],
)
def test_media_stand_where_the_question_says(question, types, content) -> None:
    (turn,) = messages(example(question, types=types), PromptConfig(template="plain"))
    assert turn["role"] == "user"
    assert kinds_in(turn["content"]) == content


@pytest.mark.parametrize(
    ("question", "types"),
    [
        ("<video> and <video>", (VIDEO,)),
        ("<video>", (VIDEO, VIDEO)),
        ("<video>", (IMAGE,)),
        ("<image><video>", (VIDEO, IMAGE)),
    ],
)
def test_placeholders_must_match_the_media(question, types) -> None:
    with pytest.raises(DataError, match="example 'e': the question names"):
        messages(example(question, types=types), PromptConfig(template="plain"))


def test_a_system_turn_comes_first_when_there_is_one() -> None:
    turns = messages(example(), PromptConfig(system="You are a helpful assistant."))
    assert turns[0] == {"role": "system", "content": "You are a helpful assistant."}
    assert [t["role"] for t in turns] == ["system", "user"]


# -------------------------------------------------------------------- options


def test_options_without_letters_are_shown_with_letters() -> None:
    row = example(kind=Kind.MULTIPLE_CHOICE, options=("red", "blue"))
    for template in REASON:
        text = question_text(row, PromptConfig.model_validate({"template": template}))
        assert "A. red\nB. blue" in text
    lettered = example(kind=Kind.MULTIPLE_CHOICE, options=("A. red", "B. blue"))
    assert question_text(lettered, PromptConfig()) == question_text(row, PromptConfig())


@pytest.mark.parametrize("options", [("A. <video>", "B. <audio>"), ("A. <image>", "B. <video>")])
@pytest.mark.parametrize("mode", ["reason", "direct"])
def test_a_placeholder_in_an_option_is_text(options: tuple[str, ...], mode: str) -> None:
    config = PromptConfig.model_validate({"template": "plain", "mode": mode})
    row = example("Which tag? ", kind=Kind.MULTIPLE_CHOICE, options=options)
    (turn,) = messages(row, config)
    assert [part["type"] for part in turn["content"]] == ["video", "text"]
    assert turn["content"][1]["text"] == question_text(row, config)
    named = example("<video> Which tag?", kind=Kind.MULTIPLE_CHOICE, options=options)
    (turn,) = messages(named, config)
    assert [part["type"] for part in turn["content"]] == ["video", "text"]
    assert options[1] in turn["content"][1]["text"]
