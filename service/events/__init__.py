"""The event bus, which publishes every change of a sync."""
