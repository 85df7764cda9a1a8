"""What the service tells unasked, once each. The event is part of the transaction that marks what
it is about, so that it is told once, whichever process tells it."""
