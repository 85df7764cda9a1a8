"""A hostile Selling Partner API, and what a sync makes of it."""
