"""Proxy tasks: questions whose answers follow from how a clip was cut, not from labels.

One file per task, listed in ``tasks.TASKS``. What is drawn depends on the seed and the video's
id alone, so other videos come and go without changing a row.
"""
