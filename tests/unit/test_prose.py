"""The prose of the package keeps to scripts/lint_docstrings.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "lint_docstrings.py"


def test_docstrings_and_words() -> None:
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""The rows that are left."""', "docstring opens with 'The'"),
        ('"""Whether it fits; None if unknown."""', "docstring opens with 'Whether it fits; None"),
        ('def f():\n    """What is drawn."""', "docstring opens with 'What'"),
        ('N = 1\n"""Of one process."""', "docstring opens with 'Of'"),
        ('raise ValueError("mend it")', "'mend': write fix"),
        ("n = 1  # told apart", "'told': write"),
        ('"""Number of rows that are left."""', ""),
    ],
)
def test_findings(source: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import lint_docstrings

    monkeypatch.setattr(lint_docstrings, "SRC", tmp_path)
    path = tmp_path / "room.py"
    path.write_text(source + "\n")
    messages = [message for _, _, message in lint_docstrings.lint(path)]
    assert len(messages) >= bool(found)
    assert bool(messages) == bool(found)
    assert all(found in message for message in messages[:1])
