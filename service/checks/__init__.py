"""Checks of what the service needs, made at its start and by `doctor`."""
