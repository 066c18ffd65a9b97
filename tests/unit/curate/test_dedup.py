"""Look-alike clips and repeated questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinograd.curate.near_duplicates import find_similar, thumbnails
from kinograd.datasets.jsonl import read_examples
from kinograd.keys import generator
from kinograd.synthetic.mp4_writer import write_mp4


def picture(film: np.ndarray) -> bytes:
    return thumbnails(film.transpose(0, 3, 1, 2))


def test_thumbnails_outlast_noise_and_scaling_but_not_another_clip(shelf: Any) -> None:
    film = shelf.film(0)
    noisy = np.clip(film.astype(int) + generator("n").integers(-6, 7, film.shape), 0, 255)
    larger = film.repeat(2, axis=1).repeat(2, axis=2)
    for same in (noisy.astype(np.uint8), larger):
        assert find_similar(picture(film), picture(same)) == 0
    others = b"".join(picture(shelf.film(seed)) for seed in range(1, 60))
    assert find_similar(picture(film), others) is None
    assert find_similar(picture(film), others + picture(larger)) == 59


def test_one_small_thing_on_the_same_ground_is_another_clip() -> None:
    films = np.full((4, 8, 56, 56, 3), 90, np.uint8)
    for number, film in enumerate(films):
        film[:, 10:22, 4 + 12 * number : 16 + 12 * number] = (220, 40, 40)
    pictures = [picture(film) for film in films]
    assert [find_similar(p, b"".join(pictures)) for p in pictures] == [0, 1, 2, 3]


def test_all_media_must_be_find_similar(shelf: Any) -> None:
    a, b, c = (picture(shelf.film(seed)) for seed in range(3))
    assert find_similar(a + b, a + c + b + a + a + b) == 2
    assert find_similar(a + b, a + c) is None
    assert find_similar(a, b"") is None


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
    shelf.run("dedup", tmp_path / "in.jsonl", "-o", out, f"media_root={films}", "workers=2")
    assert [e.id for e in read_examples(out)] == ["a", "e", "f"]
    lines = (tmp_path / "out.quarantine.jsonl").read_text().splitlines()
    found = {r["id"]: r["detail"] for r in map(json.loads, lines)}
    assert found["b"].endswith("same clip as " + f"{tmp_path}/in.jsonl:1")
    assert "similar to that of" in found["c"]
    assert found["d"].startswith("the same question about the same clip")
    assert "no such file" in found["g"]
    assert not list(tmp_path.glob("*journal*"))
    shelf.run("dedup", tmp_path / "in.jsonl", "-o", out)  # closed files: only the same cuts
    assert [e.id for e in read_examples(out)] == ["a", "c", "e", "f", "g"]


def test_a_clip_of_three_frames_is_kept_and_compared_by_its_cut(shelf: Any, tmp_path: Path) -> None:
    write_mp4(tmp_path / "short.mp4", shelf.film(0)[:3])
    rows = [shelf.row(name, "short.mp4", question="What is it?") for name in "ab"]
    shelf.write(tmp_path / "rows.jsonl", rows)
    paths = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    assert shelf.run("dedup", paths[0], "-o", paths[1], f"media_root={tmp_path}")[0] == 0
    assert [e.id for e in read_examples(paths[1])] == ["a"]
