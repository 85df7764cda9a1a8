"""Orders: by search, by reports, or by both."""
