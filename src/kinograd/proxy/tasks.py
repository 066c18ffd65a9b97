"""Registry of the proxy tasks, by name on the command line; a new task is one line here."""

from __future__ import annotations

from kinograd.proxy.dark_event import DarkEvent
from kinograd.proxy.jigsaw import Jigsaw
from kinograd.proxy.mix_vid import MixVid
from kinograd.proxy.needles import Needles
from kinograd.proxy.removed import Removed
from kinograd.proxy.reversed import Reversed
from kinograd.proxy.task import ProxyTask

TASKS: dict[str, type[ProxyTask]] = {
    "dark-event": DarkEvent,
    "mix-vid": MixVid,
    "jigsaw": Jigsaw,
    "reversed": Reversed,
    "removed": Removed,
    "needles": Needles,
}
