"""Runs one sync: reads datasets, deletes records missing from a full refresh, detects claims."""
