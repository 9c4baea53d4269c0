"""Conversations of an application with a simulated user."""

from opik_eval.simulation.conversation import Simulation, run_simulation
from opik_eval.simulation.user import SimulatedUser

__all__ = ["SimulatedUser", "Simulation", "run_simulation"]
