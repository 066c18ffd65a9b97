"""OpenAI-compatible endpoints: transport, rate limits, structured replies, teachers."""
