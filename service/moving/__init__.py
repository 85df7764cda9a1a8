"""The move of a database from SQLite to PostgreSQL."""
