"""A hostile Selling Partner API, and how syncs cope with it."""
