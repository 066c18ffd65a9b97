"""Pieces that algorithms combine: advantage, objective, aggregation, KL, correction."""
