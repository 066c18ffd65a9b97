"""Evaluation on held-out clips, with intervals."""
