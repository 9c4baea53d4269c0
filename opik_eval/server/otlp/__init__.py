"""Spans of OpenTelemetry, turned into traces and spans."""
