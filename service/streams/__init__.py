"""Open streams: the hub that sends their events, and Server-Sent Events."""
