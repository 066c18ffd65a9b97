"""File formats of data: one module for each, or for several similar ones.

A format is a module with ``FORMAT`` or ``FORMATS`` and its line in ``config.data_formats``.
"""

from __future__ import annotations

import importlib
from functools import cache

from kinograd.config.data_formats import FORMAT_MODULES
from kinograd.datasets.formats.base import Format
from kinograd.types import UsageError


@cache
def find_format(name: str) -> Format:
    """Import and return a format.

    Raises:
        UsageError: there is no format of this name.
    """
    if name not in FORMAT_MODULES:
        raise UsageError(f"unknown format {name!r}; one of auto, {', '.join(FORMAT_MODULES)}")
    module = importlib.import_module(f"{__name__}.{FORMAT_MODULES[name]}")
    formats = getattr(module, "FORMATS", None) or (module.FORMAT,)
    return next(found for found in formats if found.name == name)
