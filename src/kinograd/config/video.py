"""Section ``video`` of a recipe: sampling, decoding and caching of clips."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kinograd.config.presets import VIDEO_PRESETS
from kinograd.section import Positive, Section
from kinograd.types import VideoSpec

_SPEC_KEYS = (
    "min_frames",
    "max_frames",
    "min_pixels",
    "max_pixels",
    "total_pixels",
    "image_min_pixels",
    "image_max_pixels",
)


class VideoConfig(Section):
    """Frames that a model sees of a clip, and how clips are read."""

    preset: str | None = None
    """Published sampling contract; the keys below replace single numbers of it."""
    fps: float | None = None
    """Frames per second to sample; null: the preset's, or 2."""
    nframes: int | None = None
    """Number of frames to sample, in place of ``fps``."""
    min_frames: int | None = None
    """Least frames of a clip."""
    max_frames: int | None = None
    """Most frames of a clip."""
    min_pixels: int | None = None
    """Least pixels per frame."""
    max_pixels: int | None = None
    """Most pixels per frame."""
    total_pixels: int | None = None
    """Most pixels of a clip, counted per temporal patch; null: no limit."""
    image_min_pixels: int | None = None
    """Least pixels of an image; null: the video's."""
    image_max_pixels: int | None = None
    """Most pixels of an image; null: the video's."""
    resample: Literal["bicubic", "bilinear", "area", "lanczos"] = "bicubic"
    """Filter that scales frames."""
    resize: Literal["decode", "torch"] = "decode"
    """``decode`` scales in the decoder; ``torch`` gives the Hugging Face processors' pixels."""
    on_damage: Literal["error", "partial"] = "error"
    """``partial`` uses a damaged or truncated file up to its first fault."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Decoder processes that work ahead of the step; 0 decodes in this process, untimed."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds for one clip; after them its worker is stopped and the clip has failed."""
    max_duration_s: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """Longest clip in seconds; a longer one is rejected."""
    max_source_pixels: Positive = 8192 * 8192
    """Most pixels of a source frame; a larger file is rejected."""
    max_source_bytes: Positive = 32 << 30
    """Largest source file in bytes; a larger one is rejected."""
    allow_urls: bool = False
    """Download http(s) media once into ``cache_dir``; otherwise URLs are refused."""
    cache_dir: str | None = None
    """Folder of decoded clips; null keeps them in memory for the run only."""
    cache_gb: Annotated[float, Field(gt=0)] = 20.0
    """Largest size of ``cache_dir`` in gigabytes; the clips used longest ago go first."""
    cache_frames: Literal["raw", "jpeg"] = "raw"
    """Format of cached frames; ``jpeg`` is about a tenth of the size, not exact (quality 95)."""
    memory_gb: Annotated[float, Field(gt=0)] = 2.0
    """Most gigabytes of decoded clips in memory where there is no ``cache_dir``."""

    @model_validator(mode="after")
    def _valid(self) -> VideoConfig:
        if self.preset is not None and self.preset not in VIDEO_PRESETS:
            raise ValueError(f"unknown preset {self.preset!r}; one of {', '.join(VIDEO_PRESETS)}")
        if self.resize == "torch" and self.resample not in ("bicubic", "bilinear"):
            raise ValueError("resize: torch knows the resamplings bicubic and bilinear")
        if self.allow_urls and self.cache_dir is None:
            raise ValueError("allow_urls needs cache_dir, where downloads are kept")
        self.spec()
        return self

    def spec(self, size_factor: int = 28) -> VideoSpec:
        """Make the sampling contract on a model's patch grid."""
        values: dict[str, Any] = dict(VIDEO_PRESETS[self.preset]) if self.preset else {}
        values |= {k: getattr(self, k) for k in _SPEC_KEYS if getattr(self, k) is not None}
        if self.nframes is not None:
            values |= {"nframes": self.nframes, "fps": self.fps}
        elif self.fps is not None:
            values |= {"fps": self.fps, "nframes": None}
        return VideoSpec(**values, resample=self.resample, size_factor=size_factor)
