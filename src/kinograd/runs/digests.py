"""Digests of the inputs of a run, which never resumes with other data or another model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_BLOCK, _BLOCKS = 1 << 16, 1024  # files up to 64 MiB are read whole


def input_digests(files: Iterable[str], model: str) -> dict[str, str]:
    """blake2b of every data file, by its name, and of the model's weights as ``model``.

    Args:
        model: its local folder.
    """
    found = {f: hashlib.blake2b(Path(f).read_bytes(), digest_size=16).hexdigest() for f in files}
    return found | {"model": _weights_digest(Path(model))}


def _weights_digest(folder: Path) -> str:
    """Digest a weight file; of a large one only a thousand evenly spaced blocks."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as stream:
            for place in range(0, size, max(_BLOCK, -(-size // _BLOCKS))):
                stream.seek(place)
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()
