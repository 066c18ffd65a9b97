"""Algorithms: groups in, per-token advantages, weights and losses out.

Advantage (``advantage``, ``temporal``), ratio and clip (``ratio``), aggregation
(``aggregate``) and KL (``kl``) are separate small functions; ``presets`` says which of
them each published method combines.
"""
