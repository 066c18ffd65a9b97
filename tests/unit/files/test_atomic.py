"""Atomic writers and digests of kinograd.files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kinograd.files import atomic_bytes, atomic_path, atomic_stream, digest_ends, digest_json
from kinograd.types import UsageError


@pytest.mark.parametrize("durable", [True, False])
def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path, durable) -> None:
    file = tmp_path / "new" / "a.txt"
    atomic_bytes(file, b"old")
    with pytest.raises(FileNotFoundError), atomic_path(file, durable=durable) as partial:
        partial.write_bytes(Path("absent").read_bytes())
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


def test_two_writers_of_one_file_in_one_process_do_not_meet(tmp_path) -> None:
    file = tmp_path / "a.txt"
    with atomic_stream(file) as first, atomic_stream(file) as second:
        first.write("first")
        second.write("second")
    assert file.read_text() == "first"  # the last to be renamed
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_permissions_follow_the_umask_whatever_library_writes(tmp_path, umask, mode) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "a.safetensors") as partial:
            save_file({"x": np.zeros(3)}, partial)
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode


def test_a_killed_writer_leaves_the_old_content_and_the_next_one_cleans_up(tmp_path) -> None:
    file = tmp_path / "a.txt"
    atomic_bytes(file, b"old")
    code = (
        "import os, sys; from pathlib import Path; from kinograd.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert file.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    atomic_bytes(file, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        atomic_bytes(tmp_path, b"")


def test_digests_tell_contents_and_stamps_and_no_names(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for name, middle in zip(names, (b"x", b"x", b"y"), strict=True):
        (tmp_path / name).write_bytes(middle * (1 << 18))
    a, b, c = (digest_ends(tmp_path / name) for name in names)
    assert a == b != c
    assert digest_ends(tmp_path / "a", 5) != a
    assert digest_json({"a": 1, "b": "\ud800"}) == digest_json({"b": "\ud800", "a": 1})
