"""One file per format, as published: rows that follow the sources' schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VIDEO_R1 = [
    {
        "problem_id": 2,
        "problem": "What appears on the screen in Russian during the missile's ascent?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. A YouTube subscription notification", "B. A military command"],
        "solution": "<answer>A</answer>",
        "path": "./LLaVA-Video-178K/liwei_youtube_videos/videos/youtube_video_2024/ytb_7n.mp4",
        "data_source": "LLaVA-Video-178K/30_60_s_youtube_v0_1",
    },
    {
        "problem_id": 3,
        "problem": "How far is the chair?",
        "data_type": "image",
        "problem_type": "regression",
        "options": [],
        "solution": "<answer>1.25</answer>",
        "path": "./Spatial/OpenSpaces/images/1.png",
        "data_source": "OpenSpaces",
    },
]
SAMPLES: dict[str, Any] = {
    "video_r1": [
        *VIDEO_R1,
        {
            **VIDEO_R1[0],
            "problem_id": 4,
            "problem_type": "numerical",
            "options": [],
            "solution": "<answer>7</answer>",
            "process": "<think>\nLet me think. Seven.\n</think>",
        },
    ],
    "open_r1_video": [
        {
            "problem": "What is the man doing?\nA. Running\nB. Cooking\n",
            "solution": "<answer>B.</answer>",
            "video": "videos/academic_source/a.mp4",
            "original_question": "What is the man doing?\nA. Running\nB. Cooking\nPlease answer.",
            "original_answer": "B. Cooking.",
        }
    ],
    "llava_swift": [
        {
            "query": "<image>What is the man doing?\nA. Running\nB. Cooking\nPlease answer.",
            "response": "B. Cooking.",
            "videos": ["videos/academic_source/a.mp4"],
        },
        {"query": "<video>Which? Please", "response": "C.", "videos": "videos/b.mp4"},
    ],
    "dvd_counting": [
        {
            "video_filename": "./CATER_new_000123.mp4",
            "problem": "before the big red thing 's first flight , how many cubes are there ?",
            "solution": "<answer> 1 </answer>",
        }
    ],
    "vidbridge": [
        {
            "problem": f"Question {number}",
            "solution": f"<answer>{answer}</answer>",
            "video": None if number == 3 else f"clips/{number}.mp4",
            "image": "images/3.jpg" if number == 3 else None,
            "problem_type": kind,
        }
        for number, (kind, answer) in enumerate(
            [
                ("MCQA", "A"),
                ("DarkEventInfer", "The man seasons the fish."),
                ("MixVidQA", "He stacks cups."),
                ("caption", "A dog runs, then it sleeps."),
            ]
        )
    ],
    "messages": [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "<video>First <image>second: how many?"},
                {"role": "assistant", "content": "<think>One, two.</think><answer>2</answer>"},
            ],
            "videos": ["a.mp4"],
            "images": ["b.png"],
        },
        {
            "messages": [
                {"role": "user", "content": "What is it?"},
                {"role": "assistant", "content": "A cat on a mat."},
            ],
            "images": ["b.png"],
        },
    ],
    "coin": {
        "database": {
            "4MiubN1oQkg": {
                "recipe_type": 13,
                "duration": 57.26,
                "video_url": "https://www.youtube.com/embed/4MiubN1oQkg",
                "start": 20.0,
                "end": 80.0,
                "class": "ArcWeld",
                "subset": "training",
                "annotation": [
                    {"id": "587", "segment": [21.0, 34.5], "label": "clean the surface"},
                    {"id": "585", "segment": [40.0, 60.0], "label": "show the result"},
                ],
            }
        }
    },
    "kinetics": (
        "label,youtube_id,time_start,time_end,split\n"
        '"answering, questions",-0OqMw2kcLE,7,17,train\n'
        "juggling balls,0_9Gm0jB2RE,120,130,train\n"
    ),
}
NAMES = {"video_r1": "Video-R1-260k.json", "coin": "COIN.json", "kinetics": "train.csv"}


def published(folder: Path, name: str) -> Path:
    """A sample file of a format."""
    path, sample = folder / NAMES.get(name, f"{name}.jsonl"), SAMPLES[name]
    if isinstance(sample, str):
        text = sample
    elif path.suffix == ".json":
        text = json.dumps(sample)
    else:
        text = "".join(json.dumps(row) + "\n" for row in sample)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def content(path: Path) -> Any:
    """What a file holds, whatever the space between it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    return [json.loads(x) for x in text.splitlines()] if path.suffix == ".jsonl" else text
