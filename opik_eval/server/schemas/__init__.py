"""JSON schemas of what routes take, for the OpenAPI document."""
