"""Tests of the comparison of datasets, and of reading what one of them lacks."""
