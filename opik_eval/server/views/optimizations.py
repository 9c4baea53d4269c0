"""Runs of optimizers as clients read them."""

from __future__ import annotations

from opik_eval.records import Optimization
from opik_eval.server.context import RequestContext
from opik_eval.server.projects import Projects
from opik_eval.server.views.experiments import ExperimentViews
from opik_eval.server.views.scores import mean_scores
from opik_eval.storage.wire import optimization_to_wire

View = dict[str, object]


def optimization_view(context: RequestContext, run: Optimization) -> View:
    """Return a run with what its trials reached."""
    experiments = list(context.storage.list_experiments(optimization_id=run.id))
    trials = [trial for trial in experiments if trial.type != "mini-batch"]
    views = ExperimentViews(context).of(trials)
    dataset = context.storage.find_dataset(run.dataset_name) if run.dataset_name else None
    objective = [s for s in map(lambda v: _score(v, run.objective_name), views) if s is not None]
    costs = [c for c in (view["total_estimated_cost"] for view in views) if isinstance(c, float)]
    return {
        **optimization_to_wire(run),
        "project_id": Projects(context).id_of(run.project_name),
        "dataset_id": None if dataset is None else dataset.id,
        "num_trials": len(trials),
        "feedback_scores": mean_scores(_scores(view) for view in views),
        "baseline_objective_score": objective[0] if objective else None,
        "best_objective_score": max(objective, default=None),
        "total_optimization_cost": sum(costs) if costs else None,
    }


def _scores(view: View) -> list[View]:
    scores = view["feedback_scores"]
    assert isinstance(scores, list)
    return scores


def _score(view: View, name: str | None) -> float | None:
    for score in _scores(view):
        if score["name"] == name:
            return float(str(score["value"]))
    return None
