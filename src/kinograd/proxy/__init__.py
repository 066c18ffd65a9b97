"""Proxy tasks: questions whose answers follow from how a clip was cut, not from labels.

One file per task: its settings and how it builds rows from probed videos (``task.ProxyTask``),
listed in ``tasks.TASKS``. All rows are cuts: nothing is re-encoded. What is drawn depends on
the seed and the video's id alone, so other videos come and go without changing a row.
"""
