"""The stores: one set of SQL statements, and an engine for each database."""
