"""Decoding as a worker's function, and the disk cache that decoders and readers share."""

from __future__ import annotations

from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, Media, VideoSpec
from kinograd.video.decode import decode
from kinograd.video.disk import DiskCache
from kinograd.video.faults import ClipError


class Decoder:
    """Worker function that decodes requests (key, medium) into clips, or into the disk cache.

    A crash or a hang inside a codec costs the worker process and one clip.
    """

    def __init__(self, config: VideoConfig, spec: VideoSpec, media_root: str) -> None:
        self._config, self._spec, self._root = config, spec, media_root
        self._cache = open_cache(config)

    def __call__(self, request: tuple[str, Media]) -> Clip | dict[str, Any] | None:
        """Return the clip, None if the cache has it now, or the fields of a ``ClipError``."""
        key, media = request
        try:
            clip = decode(media, self._spec, self._config, self._root)
        except ClipError as error:
            return vars(error)
        stored = self._cache is not None and self._cache.save(key, clip)
        return None if stored else clip


def open_cache(config: VideoConfig) -> DiskCache | None:
    """Open the disk cache that ``config`` names, if it names one."""
    if config.cache_dir is None:
        return None
    return DiskCache(
        config.cache_dir,
        int(config.cache_gb * 1e9),
        config.cache_frames == "jpeg",
        claim_s=2 * config.timeout_s,
    )
