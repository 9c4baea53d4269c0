"""Prompt optimizers on top of ``opik_eval``. Reserved in this version; see the changelog."""
