"""The routes, one module per family."""

from __future__ import annotations

from opik_eval.server.routes import (
    annotation_queues,
    attachments,
    collections,
    dataset_items,
    dataset_versions,
    datasets,
    experiment_items,
    experiments,
    extension,
    feedback,
    links,
    operations,
    optimizations,
    otlp,
    projects,
    prompts,
    service,
    spans,
    threads,
    traces,
    verdicts,
)

OPEN_ROUTERS = (service.open_router, links.router)
"""Routes that need no key."""

ROUTERS = (
    service.router,
    operations.router,
    projects.router,
    threads.router,
    feedback.router,
    verdicts.router,
    attachments.router,
    annotation_queues.router,
    collections.router,
    extension.router,
    experiment_items.router,
    experiments.router,
    prompts.router,
    optimizations.router,
    dataset_items.router,
    dataset_versions.router,
    datasets.router,
    traces.router,
    spans.router,
    otlp.router,
)
"""All other routes; where two match a path the earlier one answers it."""
