"""The event bus: every change of a sync, to everyone who listens."""
