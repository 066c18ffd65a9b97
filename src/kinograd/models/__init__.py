"""Vision-language models: loading, prompting, shared-prefix passes, and tiny ones from scratch."""
