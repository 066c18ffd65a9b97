"""Registry of the proxy tasks, by name on the command line; a new task is one line here."""

from __future__ import annotations

from kinograd.curate.proxy.dark_event import DarkEvent
from kinograd.curate.proxy.jigsaw import Jigsaw
from kinograd.curate.proxy.mix_vid import MixVid
from kinograd.curate.proxy.needles import Needles
from kinograd.curate.proxy.removed import Removed
from kinograd.curate.proxy.reversed import Reversed
from kinograd.curate.proxy.task import ProxyTask

TASKS: dict[str, type[ProxyTask]] = {
    "dark-event": DarkEvent,
    "mix-vid": MixVid,
    "jigsaw": Jigsaw,
    "reversed": Reversed,
    "removed": Removed,
    "needles": Needles,
}
