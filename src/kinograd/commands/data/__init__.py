"""``kinograd data VERB IN... -o OUT [KEY=VALUE...]``: one module per verb."""

VERBS = {
    "import": "Read a file of any known format into canonical rows",
    "export": "Write rows as JSONL, parquet, shards or chat messages, or their clips as mp4",
    "unpack": "Extract published zip archives in place; list missing media",
    "validate": "Check every row: schema, options, answer, leakage, duplicates, paths, clips",
    "stats": "Count kinds, sources, answers and lengths; measure clips",
    "dedup": "Remove near-duplicate rows",
    "overlap": "Find evaluation data in training data",
    "annotate": "Have a teacher write rationales; keep those whose answer verifies",
    "filter": "Keep the rows that a policy can learn from",
    "mix": "Mix files by weight",
    "proxy": "Build proxy tasks from annotated or raw videos",
    "cache": "Show, clear or fill the cache of decoded clips",
}
"""Verb to its line of help; only the module of the verb that runs is imported."""
