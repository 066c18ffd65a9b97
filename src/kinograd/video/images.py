"""Clips of images and of frames that are decoded already."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinograd.types import Clip, VideoSpec
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.sample import frame_size, smart_resize
from kinograd.video.scale import Scaler

# Still formats that Pillow decodes itself; its others can start programs (Ghostscript).
_DECODER_ERRORS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
"""Errors that Pillow's decoders raise for broken files."""
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")


def clip_from_frames(
    frames: Sequence[Any] | np.ndarray, fps: float, spec: VideoSpec, scaler: Scaler | None = None
) -> Clip:
    """Return a Clip of frames that are decoded already, resized like decoded ones.

    Args:
        frames: PIL images or uint8 arrays (H, W, 3), all of one size; taken as the
            sample, not sampled again. The last one is repeated up to a multiple of
            ``spec.frame_factor``, as qwen-vl-utils does.
        fps: frames per second of this list.
        scaler: how to resize; as ``resize: decode`` does when left out.

    Raises:
        ValueError: no frames, unlike shapes, or an aspect ratio beyond 200:1.
    """
    arrays = [rgb_array(f) for f in frames]
    if not arrays:
        raise ValueError("a clip needs at least one frame")
    if len({a.shape for a in arrays}) > 1:
        raise ValueError("all frames of a clip must have one size")
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    arrays += [arrays[-1]] * (-len(arrays) % spec.frame_factor)
    n = len(arrays)
    height, width = frame_size(arrays[0].shape[0], arrays[0].shape[1], n, spec)
    scaler = scaler or Scaler(spec.resample)
    pixels = np.stack([scaler.rgb_array(a, height, width) for a in arrays])
    return Clip(pixels, np.arange(n) / fps, fps, fps, n / fps)


def clip_from_image(image: Any, spec: VideoSpec, scaler: Scaler | None = None) -> Clip:
    """Return the Clip (T = 1) of a PIL image or uint8 array (H, W, 3).

    Raises:
        ValueError: another type or shape, or an aspect ratio beyond 200:1.
    """
    array = rgb_array(image)
    low, high = spec.image_pixels
    height, width = smart_resize(array.shape[0], array.shape[1], spec.size_factor, low, high)
    pixels = (scaler or Scaler(spec.resample)).rgb_array(array, height, width)
    return Clip(pixels[None], np.zeros(1), 1.0, 1.0, 1.0)


def image_clip(file: Path, label: str, spec: VideoSpec, scaler: Scaler, max_pixels: int) -> Clip:
    """Return the Clip (T = 1) of an image file, turned by its EXIF orientation.

    Raises:
        ClipError: NOT_MEDIA, TOO_MANY_PIXELS, UNSUPPORTED or ASPECT.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                why = f"{image.width}x{image.height} exceeds video.max_source_pixels = {max_pixels}"
                raise ClipError(ClipFault.TOO_MANY_PIXELS, label, why)
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format  # a copy has none
            array = rgb_array(upright)
    except UnsupportedImage as error:
        raise ClipError(ClipFault.UNSUPPORTED, label, str(error)) from None
    except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
        why = f"not an image that can be read ({error})"
        raise ClipError(ClipFault.NOT_MEDIA, label, why) from None
    try:
        return clip_from_image(array, spec, scaler)
    except ValueError as error:
        raise ClipError(ClipFault.ASPECT, label, f"{error}; drop the image") from None


class UnsupportedImage(ValueError):
    """An image whose numbers cannot be shown in 8 bits without a guess."""


def _eight_bits(image: Any) -> Any:
    """Convert a PIL image of 16 bits or of fractions to 8 bits; return others as they are.

    Pillow's own conversion clips them to white or black.
    """
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        white = 65535
    elif image.mode == "F" and values.size and values.min() >= 0 and values.max() <= 1:
        white = 1
    else:
        why = f"its pixels are numbers of unknown range (mode {image.mode}); save it with 8 bits"
        raise UnsupportedImage(why)
    return Image.fromarray((values * (255.0 / white)).round().astype(np.uint8))


def rgb_array(frame: Any) -> np.ndarray:
    """Return (H, W, 3) uint8; transparency is laid on white, as qwen-vl-utils does.

    Raises:
        UnsupportedImage: a PIL image of numbers whose white is unknown.
        ValueError: for an array of another type or shape.
    """
    if not isinstance(frame, np.ndarray):
        frame = _eight_bits(frame)
        if frame.mode in ("RGBA", "LA", "PA") or "transparency" in frame.info:
            from PIL import Image

            layer = frame.convert("RGBA")
            frame = Image.new("RGB", layer.size, (255, 255, 255))
            frame.paste(layer, mask=layer.getchannel("A"))
        frame = np.asarray(frame.convert("RGB"))
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise ValueError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
    return np.ascontiguousarray(frame)
