"""Engines that sample responses: in this process, or (later) in vLLM."""
