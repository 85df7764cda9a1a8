"""Runs syncs, in a fair order."""
