"""Faults of clips: one enum, one error."""

from __future__ import annotations

from enum import StrEnum

from kinograd.types import KinogradError


class ClipFault(StrEnum):
    """Fault of a clip; failed examples are counted by it."""

    URL = "url"
    OUTSIDE_ROOT = "outside_root"
    MISSING = "missing"
    NOT_A_FILE = "not_a_file"
    PERMISSION = "permission"
    EMPTY = "empty"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_LONG = "too_long"
    NOT_MEDIA = "not_media"
    NO_VIDEO = "no_video"
    UNSUPPORTED = "unsupported"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    BAD_CUT = "bad_cut"
    TOO_FEW_FRAMES = "too_few_frames"
    TOO_SMALL = "too_small"
    ASPECT = "aspect"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


class ClipError(KinogradError):
    """A clip that cannot be decoded as asked; never replaced by another clip.

    ``ClipError(**vars(error))`` is the same error, in another process for instance.

    Attributes:
        reason: the fault, for counting.
        path: the medium as the data names it.
        at_seconds: where in the source the fault lies, when it has a place.
        detail: the sentence for a person, with the fix.
    """

    def __init__(
        self, reason: ClipFault, path: str, detail: str, at_seconds: float | None = None
    ) -> None:
        self.reason = ClipFault(reason)
        self.path = path
        self.at_seconds = at_seconds
        self.detail = detail
        where = "" if at_seconds is None else f" at {at_seconds:.2f} s"
        super().__init__(f"{path}{where}: {detail} [{reason}]")

    def place(self) -> str:
        """Return the fault in a few words for ``Clip.damaged``: ``truncated at 3.00 s``."""
        at = "" if self.at_seconds is None else f" at {self.at_seconds:.2f} s"
        return f"{self.reason.value}{at}"
