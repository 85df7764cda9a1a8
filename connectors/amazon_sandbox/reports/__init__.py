"""Reports: their types, rows, documents and storage."""
