"""Data that training reads: examples, their file formats, loading and sampling."""
