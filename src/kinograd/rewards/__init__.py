"""Grading: pure functions from text to a Score, and the step that grades whole groups."""
