"""Proxy tasks: questions whose answers follow from how a clip was cut, not from labels.

One file per task, each a ``build(films, options, seed)`` over probed films that gives Examples
(or why there is none). All rows are cuts: nothing is re-encoded. What is drawn depends on the
seed and the film's id alone, so other films come and go without changing a row.
"""
