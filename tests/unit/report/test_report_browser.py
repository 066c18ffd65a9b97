"""The page in a real browser: the script runs, hostile text does not, and it looks like a page."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinograd.report import write_report

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def _chromium(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(found for name in names if (found := shutil.which(name)))
    fixed = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    command = [program, *fixed, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_script_shows_rollouts_and_the_policy_blocks_nothing_of_ours(
    make_demo: Callable[[Path], Path], tmp_path: Path
) -> None:
    write_report([make_demo(tmp_path / "demo")], tmp_path / "r.html")
    run = _chromium(tmp_path / "r.html", tmp_path / "profile", "--dump-dom")
    assert "Content Security Policy" not in run.stderr
    assert "Uncaught" not in run.stderr
    body = re.sub(r"<script.*?</script>", "", run.stdout, flags=re.S)
    assert len(re.findall(r'<div class="rollout (?:correct|wrong|unscored)"', body)) == 12
    assert len(re.findall(r'<img class="strip"[^>]*src="data:image/jpeg;base64,', body)) == 2
    assert len(re.findall(r"<button", body)) == 3
    assert "ordered frames: " in body
    assert "truncated: no closing tag" in body


def test_hostile_text_stays_text(
    make_evil: Callable[[Path], tuple[Path, str]], tmp_path: Path
) -> None:
    folder, evil = make_evil(tmp_path / "demo")
    write_report([folder], tmp_path / "r.html")
    run = _chromium(tmp_path / "r.html", tmp_path / "profile", "--dump-dom")
    assert "<title>demo – Kinograd</title>" in run.stdout
    assert "Uncaught" not in run.stderr
    body = re.sub(r"<script.*?</script>", "", run.stdout, flags=re.S)
    assert '<img src="x"' not in body
    answers = re.findall(r'<div class="rollout .*?<pre>(.*?)</pre>', body, re.S)
    assert {html.unescape(a) for a in answers} == {evil}


@pytest.mark.parametrize(("scheme", "paper"), [(1, (251, 251, 249)), (0, (22, 23, 26))])
def test_the_page_is_drawn_in_both_schemes(
    make_demo: Callable[[Path], Path], tmp_path: Path, scheme: int, paper: tuple[int, ...]
) -> None:
    write_report([make_demo(tmp_path / "demo")], tmp_path / "r.html")
    shot = tmp_path / "shot.png"
    options = (f"--screenshot={shot}", "--window-size=1400,3000", "--hide-scrollbars")
    prefers = f"--blink-settings=preferredColorScheme={scheme}"
    _chromium(tmp_path / "r.html", tmp_path / "profile", *options, prefers)
    picture = np.asarray(Image.open(shot).convert("RGB"))
    assert picture.shape == (3000, 1400, 3)
    assert tuple(picture[-1, 0]) == paper
    inked = (np.abs(picture.astype(int) - np.array(paper)).max(-1) > 40).mean(1)
    assert (inked > 0).mean() > 0.4  # rows with something on them, from top to bottom
    assert inked[2500:].any()
