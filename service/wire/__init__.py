"""What values look like on the wire: shapes, requests, problems, the OpenAPI document."""
