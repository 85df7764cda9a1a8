"""A cluster of real processes that die, pause and restart: `python -m tests.cluster`."""
