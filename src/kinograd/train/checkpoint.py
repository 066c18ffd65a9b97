"""Checkpoints, complete or absent: safetensors and JSON, a manifest written last.

A checkpoint is a folder ``step-N`` holding one safetensors file per named set of tensors,
``state.json``, optionally ``model/`` (a folder transformers can load) and
``manifest.json`` with the size and digest of every other file. It is written under a
temporary name beside its place, synced, and renamed; older ones go only after that. So a
process killed at any moment leaves the previous checkpoint as it was.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kinograd.files import digest_file, follow_umask, fsync_path
from kinograd.runs.layout import steps_in
from kinograd.types import KinogradError

JSON = dict[str, "JSON"] | list["JSON"] | str | int | float | bool | None

_MANIFEST, _STATE, _MODEL = "manifest.json", "state.json", "model"
_LEFTOVER = ".unfinished-"
_HEADROOM = 1 << 20  # JSON files, folder entries and block rounding, in bytes

log = logging.getLogger(__name__)


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    state: Mapping[str, JSON],
    *,
    keep: int,
    model_writer: Callable[[Path], None] | None = None,
) -> Path:
    """Write ``folder/step-N`` and then remove all but the newest ``keep`` checkpoints.

    A whole ``step-N`` that is there already is left as it is: one step of one run has one
    state.

    Args:
        tensors: each entry becomes ``<name>.safetensors``; tensors that share memory are
            written once per name.
        state: becomes ``state.json``; what JSON cannot hold is a TypeError or ValueError.
        model_writer: called with the path of a fresh folder ``model`` to fill.

    Raises:
        KinogradError: the disk is, or runs, full; earlier checkpoints are untouched.
    """
    final = folder / f"step-{step}"
    if is_whole(final):
        return final
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    encoded = json.dumps(state, allow_nan=False).encode()
    needed = len(encoded) + sum(t.nbytes for group in tensors.values() for t in group.values())
    if model_writer is not None:
        needed += _model_bytes_before(folder)
    _check_space(folder, needed)

    temporary = folder / f"{_LEFTOVER}{final.name}"
    try:
        temporary.mkdir()
        for name, group in tensors.items():
            save_file(_separate(group), temporary / f"{name}.safetensors")
        (temporary / _STATE).write_bytes(encoded)
        if model_writer is not None:
            (temporary / _MODEL).mkdir()
            model_writer(temporary / _MODEL)
        follow_umask(temporary)
        _seal(temporary, step)
        if final.exists():  # torn or damaged: is_whole said so
            shutil.rmtree(final)
        temporary.rename(final)
        fsync_path(folder)
    except (OSError, SafetensorError) as error:
        if not _disk_full(error):
            raise
        raise _no_space(folder, needed) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _prune(folder, step, keep)
    return final


def latest(folder: Path) -> Path | None:
    """Return the newest checkpoint whose files match its manifest; skip damaged ones."""
    for path in reversed(steps_in(folder).values()):
        if is_whole(path):
            return path
        log.warning("checkpoint %s is incomplete or damaged and is ignored", path)
    return None


def load(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read a checkpoint; return its tensors, on the CPU, and its state.

    Raises:
        KinogradError: there is no whole checkpoint at ``path``.
    """
    if not is_whole(path):
        raise KinogradError(
            f"{path} is not a whole checkpoint (its files do not match {_MANIFEST}); "
            "use another step or delete it"
        )
    tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    return tensors, json.loads((path / _STATE).read_bytes())


def is_whole(path: Path) -> bool:
    """Return True if every file of the checkpoint has its size and digest."""
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        files: dict[str, dict[str, Any]] = manifest["files"]
        if any((path / name).stat().st_size != entry["bytes"] for name, entry in files.items()):
            return False
        return _digests(path, list(files)) == {n: entry["blake2b"] for n, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _seal(path: Path, step: int) -> None:
    """Sync every file to disk and describe it in the manifest, which is synced last."""
    files = sorted(f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file())
    for name in files:
        fsync_path(path / name)
    digests = _digests(path, files)
    entries = {n: {"bytes": (path / n).stat().st_size, "blake2b": digests[n]} for n in files}
    manifest = {"version": 1, "step": step, "files": entries}
    (path / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    fsync_path(path / _MANIFEST)
    for inner in [d for d in path.rglob("*") if d.is_dir()]:
        fsync_path(inner)
    fsync_path(path)


def _digests(path: Path, names: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        digests = pool.map(digest_file, (path / name for name in names))
        return dict(zip(names, digests, strict=True))


def _separate(group: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors to the CPU so that no two share memory, as safetensors demands."""
    seen: set[int] = set()
    separate: dict[str, torch.Tensor] = {}
    for name, tensor in group.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate


def _prune(folder: Path, step: int, keep: int) -> None:
    """Delete all but the newest ``keep`` of the checkpoints up to ``step``.

    Each one is renamed before it goes, so that a kill leaves nothing half-deleted under a
    checkpoint's name. A later step here is a damaged one that the run will write again.
    """
    upto = [p for written, p in steps_in(folder).items() if written <= step]
    for path in upto[:-keep]:
        doomed = path.with_name(_LEFTOVER + path.name)
        path.rename(doomed)
        shutil.rmtree(doomed)


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_LEFTOVER}*"):
        shutil.rmtree(path)


def _model_bytes_before(folder: Path) -> int:
    """Return the size of the newest checkpoint's model folder, an estimate of the next."""
    for path in reversed(steps_in(folder).values()):
        return sum(f.stat().st_size for f in (path / _MODEL).rglob("*") if f.is_file())
    return 0


def _check_space(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed + _HEADROOM:
        raise _no_space(folder, needed)


def _no_space(folder: Path, needed: int) -> KinogradError:
    return KinogradError(
        f"no space for a checkpoint in {folder}: it needs about {needed + _HEADROOM:,} bytes and "
        f"{shutil.disk_usage(folder).free:,} are free. Make room or lower run.keep, then run the "
        "same command again; it resumes from the previous checkpoint"
    )


def _disk_full(error: Exception) -> bool:
    """Return True if an error means a full disk or quota; safetensors gives only text."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    return any(f"os error {code}" in str(error) for code in full)
