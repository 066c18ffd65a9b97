"""Engines that sample responses from a policy."""
