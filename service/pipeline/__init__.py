"""Runs one sync: reads its datasets, deletes what a full refresh did not find, detects claims."""
