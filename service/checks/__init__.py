"""Checks of the database, its files and Redis, made at the start and by `doctor`."""
