"""``python -m kinograd`` is ``kinograd``; torchrun starts it so."""

from __future__ import annotations

import sys

from kinograd.cli import main

if __name__ == "__main__":
    sys.exit(main())
