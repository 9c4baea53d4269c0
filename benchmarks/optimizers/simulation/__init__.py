"""A family of simulated tasks on which optimizers can be compared: the optimum is known.

Only the standard library is needed, so that a peer's own environment can run it; ``model.py``
alone, which puts a task behind ``opik_eval.models``, needs more.
"""
