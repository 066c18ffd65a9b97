"""Store of decoded clips for training, evaluation and serving: each is decoded once."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, KinogradError, Media
from kinograd.video.decode import DECODER_VERSION, decode
from kinograd.video.decoder import Decoder, open_cache
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.fingerprint import clip_key
from kinograd.workers.pool import Pool
from kinograd.workers.process import JobTimeout, NotStarted, Process, WorkerDied, WorkerError

Result = Clip | ClipError | None
"""An outcome of decoding; None where the clip lies in the disk cache."""
_POLL_S = 0.02


class ClipStore:
    """Decoded clips by medium: each is decoded once and shared by all who ask.

    With ``config.cache_dir`` clips live on disk and outlast the run; without it in memory,
    least recently used out first. ``config.workers`` processes decode ahead; a clip that
    crashes or hangs one of them is a ``ClipError`` and nothing more.

    The arrays of a Clip are shared: do not write to them. Safe to use from threads.

    Attributes:
        counts: ``decoded`` clips, ``failed`` media, and how often ``get`` was served from
            ``memory`` or ``disk``.
        wait_s: seconds that callers have waited in ``get``, less those taken.
    """

    def __init__(self, config: VideoConfig, media_root: str | Path, size_factor: int) -> None:
        self.spec = config.spec(size_factor)
        self.counts: Counter[str] = Counter()
        self.wait_s = 0.0
        self._config, self._root = config, Path(media_root).resolve()
        self._lock = threading.RLock()
        self._memory = _Memory(int(config.memory_gb * 1e9))
        self._faults: dict[Media, ClipError] = {}
        self._pending: dict[str, Future[Result]] = {}  # by key: two names of one video share it
        self._keys: dict[Media, str] = {}
        self._disk = open_cache(config)
        self._decoder = f"{DECODER_VERSION}/av {version('av')}"
        self._pool: Pool | None = None

    def __enter__(self) -> ClipStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and drop the clips in memory; the disk cache stays."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        with self._lock:
            self._memory = _Memory(int(self._config.memory_gb * 1e9))
            self._pending.clear()

    def take_wait_s(self) -> float:
        """Return the seconds that callers waited since the last call (``video/wait_s``)."""
        with self._lock:
            waited, self.wait_s = self.wait_s, 0.0
        return waited

    # ------------------------------------------------------------------- asking

    def prefetch(self, media: Iterable[Media]) -> None:
        """Queue ``media`` for decoding, in this order, and return at once.

        Faults are kept for ``get``. Decoding pauses while half of the memory holds clips
        that no caller has asked for yet. Without workers this does nothing.
        """
        if self._config.workers == 0:
            return
        for medium in dict.fromkeys(media):
            with self._lock:
                if medium in self._memory or medium in self._faults or self._in_flight(medium):
                    continue
            try:
                if self._disk is None or not self._disk.has(self._key(medium)):
                    self._submit(medium, urgent=False)
            except ClipError as error:
                self._fail(medium, error)

    def get(self, media: Media) -> Clip:
        """Return the clip of ``media``.

        Raises:
            ClipError: the clip cannot be had; the same error at every call.
        """
        clip = self._ask(media, bring=True)
        assert clip is not None
        return clip

    def ensure(self, media: Media) -> None:
        """Have ``media`` in the disk cache, without reading it into memory.

        Raises:
            ClipError: the clip cannot be had.
            KinogradError: the cache does not keep it.
        """
        self._ask(media, bring=False)
        if self._disk is not None and not self._disk.has(self._key(media)):
            raise KinogradError(
                f"video.cache_dir {self._config.cache_dir} does not keep clips: it is full, "
                "cannot be written, or is smaller than one clip (video.cache_gb)"
            )

    def _ask(self, media: Media, bring: bool) -> Clip | None:
        began = time.perf_counter()
        try:
            return self._find(media, bring)
        except ClipError as error:
            self._fail(media, error)
            raise
        finally:
            with self._lock:
                self.wait_s += time.perf_counter() - began

    def _fail(self, media: Media, error: ClipError) -> None:
        with self._lock:
            self.counts["failed"] += media not in self._faults
            self._faults[media] = error

    def _in_flight(self, media: Media) -> bool:
        return self._keys.get(media) in self._pending

    def _find(self, media: Media, bring: bool) -> Clip | None:
        """Return the clip; None if it is on disk and ``bring`` is false."""
        with self._lock:
            if media in self._faults:
                raise self._faults[media]
            if (clip := self._memory.claim(media)) is not None:
                if self._pool is not None:
                    self._pool.wake()
                self.counts["memory"] += 1
                return clip
            pending = self._in_flight(media)
        if self._disk is not None and not pending:
            if not bring and self._disk.has(self._key(media)):
                return None
            if (clip := self._disk.load(self._key(media))) is not None:
                self.counts["disk"] += 1
                return clip
        if self._config.workers == 0:
            result = self._here(media)
        else:
            result = self._submit(media, urgent=True).result()
            with self._lock:
                self._memory.claim(media)
        if isinstance(result, ClipError):
            raise result
        if isinstance(result, Clip):
            return result
        if not bring:
            return None
        assert self._disk is not None  # only a disk cache stores
        # A cache smaller than what is in flight may have evicted it again.
        return self._disk.load(self._key(media)) or self._decode(media)

    # ----------------------------------------------------------------- decoding

    def _decode(self, media: Media) -> Clip:
        clip = decode(media, self.spec, self._config, self._root)
        self.counts["decoded"] += 1
        return clip

    def _here(self, media: Media) -> Result:
        """Decode in this process; wait if another process decodes the same clip."""
        if self._disk is None:
            clip = self._decode(media)
            self._memory.put(media, clip, claimed=True)
            return clip
        key = self._key(media)
        while not (ours := self._disk.claim(key)):
            if ours is None and (clip := self._disk.load(key)) is not None:
                self.counts["disk"] += 1
                return clip
            time.sleep(_POLL_S)
        try:
            clip = self._decode(media)
            self._disk.save(key, clip)
        finally:
            self._disk.release(key)
        return self._disk.load(key) or clip

    def _submit(self, media: Media, urgent: bool) -> Future[Result]:
        key = self._key(media)
        with self._lock:
            if self._pool is None:
                self._pool = self._new_pool()
            if (future := self._pending.get(key)) is None:
                future = self._pool.submit((key, media), finish=partial(self._finish, key, media))
                self._pending[key] = future
                future.add_done_callback(lambda _: self._forget(key))
            if urgent:
                self._pool.prioritise(future)
        return future

    def _new_pool(self) -> Pool:
        make = partial(Decoder, self._config, self.spec, str(self._root))
        return Pool(
            partial(Process, make),
            self._config.workers,
            self._config.timeout_s,
            room=lambda: self._memory.roomy,
            claim=lambda request: self._disk is None or self._disk.claim(request[0]),
        )

    def _finish(self, key: str, media: Media, answer: Any) -> Result:
        """Keep a decoder's answer; runs in a pool thread, before anybody who waits is woken.

        Raises:
            KinogradError: no decoder can be started.
        """
        ours = self._disk is not None and self._disk.release(key)
        if isinstance(answer, NotStarted):
            raise KinogradError(f"{answer}; video.workers: 0 decodes in this process")
        with self._lock:
            if isinstance(answer, dict):
                answer = ClipError(**answer)
            elif isinstance(answer, WorkerError):
                answer = self._lost(media, answer)
            if isinstance(answer, ClipError):
                self._fail(media, answer)
                return answer
            self.counts["decoded" if isinstance(answer, Clip) or ours else "disk"] += 1
            if isinstance(answer, Clip):
                self._memory.put(media, answer, claimed=False)
        return answer

    def _lost(self, media: Media, error: WorkerError) -> ClipError:
        """Return the fault of a clip whose decoder hung, died or failed."""
        limit = f"video.timeout_s = {self._config.timeout_s:g} s"
        match error:
            case JobTimeout():
                fault, why = ClipFault.TIMEOUT, f"not decoded within {limit}; the decoder was ended"
            case WorkerDied():
                fault, why = ClipFault.CRASHED, f"{error} over this file"
            case _:
                fault, why = ClipFault.CRASHED, f"the decoder failed: {error}"
        return ClipError(fault, media.cut.paths[0], why)

    def _forget(self, key: str) -> None:
        if self._disk is not None:  # a job that was cancelled
            self._disk.release(key)
        self._pending.pop(key, None)

    def _key(self, media: Media) -> str:
        """Return the clip's name on disk; in memory any name will do."""
        if media not in self._keys:
            self._keys[media] = (
                repr(media)
                if self._disk is None
                else clip_key(media, self.spec, self._config, self._root, self._decoder)
            )
        return self._keys[media]


class _Memory:
    """Clips by medium within a byte budget, least recently used out first.

    Clips that were prefetched and not asked for yet are counted, so that decoding ahead
    cannot push out what it has just brought in.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._clips: OrderedDict[Media, Clip] = OrderedDict()
        self._bytes = 0
        self._unclaimed: dict[Media, int] = {}  # bytes

    def __contains__(self, media: Media) -> bool:
        return media in self._clips

    @property
    def roomy(self) -> bool:
        # a copy: asked without the store's lock
        return sum(list(self._unclaimed.values())) <= self._budget // 2

    def put(self, media: Media, clip: Clip, claimed: bool) -> None:
        self._drop(media)
        self._clips[media] = clip
        self._bytes += clip.frames.nbytes
        if not claimed:
            self._unclaimed[media] = clip.frames.nbytes
        while self._bytes > self._budget and len(self._clips) > 1:
            self._drop(next(iter(self._clips)))

    def claim(self, media: Media) -> Clip | None:
        if media not in self._clips:
            return None
        self._clips.move_to_end(media)
        self._unclaimed.pop(media, None)
        return self._clips[media]

    def _drop(self, media: Media) -> None:
        if (clip := self.claim(media)) is not None:
            del self._clips[media]
            self._bytes -= clip.frames.nbytes
