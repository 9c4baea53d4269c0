"""Evaluation in pytest: tests as units of an experiment, and results held against a baseline.

pytest loads ``opik_eval.pytest_plugin.plugin`` by itself where the package is installed. Until a
test uses it, it costs next to nothing and changes nothing.
"""
