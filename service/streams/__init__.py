"""Open streams: the hub that feeds them, and Server-Sent Events."""
