"""What people do to data before training: check, count, deduplicate, filter, annotate, mix."""
