"""The tracing server: Opik's REST interface over any storage of this package."""
