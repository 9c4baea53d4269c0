"""Optimizers compared on simulated tasks whose optimum is known; see README.md."""
