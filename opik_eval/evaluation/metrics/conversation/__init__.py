"""Bases of metrics of conversations, where scripts written for Opik import them from."""

from opik_eval.evaluation.metrics.conversation import conversation_thread_metric, types

__all__ = ["conversation_thread_metric", "types"]
