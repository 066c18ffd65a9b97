"""Look-alike clips and repeated questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinograd.data.dedup import alike, alike_media, clip_hash
from kinograd.data.jsonl import read_examples
from kinograd.data.theatre.film import write_mp4
from kinograd.keys import generator


def hash_of(film: np.ndarray) -> np.ndarray:
    return np.frombuffer(clip_hash(film.transpose(0, 3, 1, 2)), np.uint8)


def test_hashes_outlast_noise_and_scaling_but_not_another_clip(shelf: Any) -> None:
    film = shelf.film(0)
    noisy = np.clip(film.astype(int) + generator("n").integers(-6, 7, film.shape), 0, 255)
    larger = film.repeat(2, axis=1).repeat(2, axis=2)
    darker = (film * 0.8).astype(np.uint8)
    same = np.stack([hash_of(f) for f in (noisy.astype(np.uint8), larger, darker)])
    assert alike(hash_of(film), same).all()
    others = np.stack([hash_of(shelf.film(seed)) for seed in range(1, 60)])
    assert not alike(hash_of(film), others).any()


def test_all_media_must_be_alike(shelf: Any) -> None:
    a, b, c = (hash_of(shelf.film(seed)).tobytes() for seed in range(3))
    assert alike_media(a + b, a + c + b + a + a + b) == 2
    assert alike_media(a + b, a + c) is None
    assert alike_media(a, b"") is None


@pytest.fixture(scope="module")
def films(shelf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.mp4, again.mp4 (the same, encoded again at twice the size), 1.mp4."""
    root = tmp_path_factory.mktemp("films")
    for seed in (0, 1):
        write_mp4(root / f"{seed}.mp4", shelf.film(seed))
    write_mp4(root / "again.mp4", shelf.film(0).repeat(2, axis=1).repeat(2, axis=2))
    return root


def test_dedup_keeps_the_first(shelf: Any, films: Path, tmp_path: Path) -> None:
    rows = [
        shelf.row("a", "0.mp4", question="What is it?"),
        shelf.row("b", "0.mp4", question="what is IT", answer="no"),
        shelf.row("c", "again.mp4", question="What is it?"),
        shelf.row("d", "again.mp4", question="What is it?", answer="another thing"),
        shelf.row("e", "1.mp4", question="What is it?"),
        shelf.row("f", "0.mp4", question="Who is it?"),
        shelf.row("g", "none.mp4", question="What is it?"),
        shelf.row("f", "1.mp4", question="Where?"),
    ]
    shelf.write(tmp_path / "in.jsonl", rows)
    out = tmp_path / "out.jsonl"
    shelf.run("dedup", tmp_path / "in.jsonl", out, "--media-root", films, "--workers", 2)
    assert [e.id for e in read_examples(out)] == ["a", "e", "f"]
    lines = (tmp_path / "out.quarantine.jsonl").read_text().splitlines()
    found = {r["id"]: r["detail"] for r in map(json.loads, lines)}
    assert found["b"].endswith("same clip as " + f"{tmp_path}/in.jsonl:1")
    assert "alike that of" in found["c"]
    assert found["d"].startswith("the same question about the same clip")
    assert "no such file" in found["g"]
    assert not list(tmp_path.glob("*journal*"))
    shelf.run("dedup", tmp_path / "in.jsonl", out)  # closed files: only the same cuts
    assert [e.id for e in read_examples(out)] == ["a", "c", "e", "f", "g"]
