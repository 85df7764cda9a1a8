"""The endpoints, and the table of all calls of the API."""
