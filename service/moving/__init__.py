"""The command `move`, which copies a database from SQLite to PostgreSQL."""
