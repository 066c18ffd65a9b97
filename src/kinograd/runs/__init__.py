"""Run folders: their layout, writer, environment and digests; the report reads them."""
