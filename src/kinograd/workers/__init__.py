"""Supervised worker processes for decoding, rows, symbolic grading and rendering."""
