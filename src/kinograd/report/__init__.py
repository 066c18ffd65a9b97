"""Reports: run folders in, one HTML file out that opens offline and survives e-mail.

Text of a run is data, not markup: the page escapes it, embeds it as escaped JSON and shows it
through ``textContent``; a content security policy forbids everything else.
"""

from __future__ import annotations

from kinograd.report.render import write_report

__all__ = ["write_report"]
