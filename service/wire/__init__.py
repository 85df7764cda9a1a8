"""What clients send and receive: requests, response shapes, problems, the OpenAPI document."""
