"""Batteries and fakes for those who write optimizers."""
