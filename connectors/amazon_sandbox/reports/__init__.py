"""Reports: what they hold, how they are written, how long they take, and where they are kept."""
