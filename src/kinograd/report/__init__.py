"""Reports: run folders in, one HTML file out that opens offline and survives e-mail.

Reads files only, never a model, and imports nothing heavy. What a run wrote is data, not
markup: text is escaped in the page, embedded as escaped JSON, shown through
``textContent``, and a content security policy forbids everything else.
"""

from __future__ import annotations

from kinograd.report.render import write_report

__all__ = ["write_report"]
