"""Hypothesis without deadlines (threads and DuckDB are involved) and repeatable."""

from hypothesis import settings

settings.register_profile("acequia", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("acequia")
