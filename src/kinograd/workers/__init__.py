"""Supervised worker processes for decoding, rows, symbolic grading and rendering.

``Pool`` runs jobs in workers, each watched by one thread. ``process.Process`` is a worker on
this machine, ``ray.Actor`` one on a Ray cluster; ``child`` is the loop inside a process, and
``wire`` the form in which values travel. ``map_rows`` maps a function over rows.
"""
