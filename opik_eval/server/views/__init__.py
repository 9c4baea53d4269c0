"""Read models: records as clients get them, with what is derived from other records."""
