"""Where syncs run."""
