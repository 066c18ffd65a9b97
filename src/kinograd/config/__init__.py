"""Recipes: typed sections (schema), and how files and overrides become one (load)."""
