"""The sync service: starts syncs, shows their progress live, keeps their history."""
