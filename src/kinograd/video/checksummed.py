"""Checksummed files of arrays and JSON facts, for the caches of clips and packet indexes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kinograd.files import atomic_path


def write_arrays(file: Path, arrays: dict[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts to ``file`` atomically.

    Args:
        facts: what JSON can hold.
    """
    metadata = {"facts": json.dumps({**facts, "crc32": _checksum(facts, arrays)})}
    with atomic_path(file, durable=False) as partial:
        save_file(arrays, partial, metadata=metadata)


def read_arrays(file: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return (arrays, facts); None if there is no file. A damaged file is deleted."""
    try:
        with safe_open(file, framework="np") as f:
            facts = json.loads(f.metadata()["facts"])
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 - no mapping
        if facts.pop("crc32") == _checksum(facts, arrays):
            return arrays, facts
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        pass
    with suppress(OSError):  # a folder that may not be written
        file.unlink(missing_ok=True)
    return None


def _checksum(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of the arrays, their names, types and shapes, and the facts."""
    crc = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
    return crc
