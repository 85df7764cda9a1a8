"""The terminal client: follows syncs over HTTP, and lists what the service has stored."""
