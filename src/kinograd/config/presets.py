"""Published sampling contracts by name, as arguments of VideoSpec.

Sources: Video-R1 (paper section 4; the vendored vision_process.py of its training and
evaluation scripts), Open-R1-Video (code of 23 Feb 2025), VidBridge-R1 (paper section 4 and
code), qwen-vl-utils 0.0.14 defaults.
"""

from __future__ import annotations

from typing import Any

_PATCH = 28 * 28
# Where a script's upper limit equals its lower one, the code it calls allows 5 % more
# (vision_process.py: ``max(..., int(min_pixels * 1.05))``), which can add a patch row.
_AT_LEAST_128 = int(128 * _PATCH * 1.05)

_VIDEO_R1 = {
    "fps": 2.0,
    "min_frames": 4,
    "min_pixels": 128 * _PATCH,
    "image_min_pixels": 4 * _PATCH,
    "image_max_pixels": 256 * _PATCH,
}
# Both projects sample at 2 frames per second first and pick 16 of those; a uniform choice
# of 16 differs by less than half a second of video.
_SIXTEEN = {
    "fps": None,
    "nframes": 16,
    "min_pixels": 128 * _PATCH,
    "max_pixels": 196 * _PATCH,
    "image_min_pixels": 4 * _PATCH,
    "image_max_pixels": 16384 * _PATCH,
}

VIDEO_PRESETS: dict[str, dict[str, Any]] = {
    "video_r1_train": _VIDEO_R1 | {"max_frames": 16, "max_pixels": _AT_LEAST_128},
    **{
        f"video_r1_eval_{n}": _VIDEO_R1 | {"max_frames": n, "max_pixels": 256 * _PATCH}
        for n in (16, 32, 64)
    },
    "open_r1_video": _SIXTEEN,
    "vidbridge": _SIXTEEN,
    "qwen_default": {
        "fps": 2.0,
        "min_frames": 4,
        "max_frames": 768,
        "min_pixels": 128 * _PATCH,
        "max_pixels": 768 * _PATCH,
        "total_pixels": int(128000 * _PATCH * 0.9),
        "image_min_pixels": 4 * _PATCH,
        "image_max_pixels": 16384 * _PATCH,
    },
}
