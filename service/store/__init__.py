"""What is kept: one set of statements, an engine for each database."""
