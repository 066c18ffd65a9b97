"""Parsers and measures of answers: text in, letters, numbers and overlaps out."""
