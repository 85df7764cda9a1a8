"""Measured as ratios, side by side in one run. No test asserts a time."""
