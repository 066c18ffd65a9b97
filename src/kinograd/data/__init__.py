"""Datasets: the canonical JSONL, what is done to it, and the synthetic theatre."""
