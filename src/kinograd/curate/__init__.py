"""Work on data before training: check, count, deduplicate, filter, annotate, mix."""
