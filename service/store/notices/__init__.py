"""Notices of the service, each published once. The event is part of the transaction that marks its
claim or connection, so it is published once, whichever process does that."""
