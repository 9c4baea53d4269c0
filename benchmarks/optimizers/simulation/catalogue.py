"""The tasks: eight landscapes, a null task, and the weak reflector's worlds.

The figures were tuned so that gepa 0.1.4 in its default settings gets about as far on each as
in the measurements that the targets of this project come from (README.md beside this package).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import cycle

from benchmarks.optimizers.simulation.draws import generator
from benchmarks.optimizers.simulation.landscape import Clash, Item, Landscape, Noise, Rule
from benchmarks.optimizers.simulation.reflector import WEAK, Reflector, Skill
from benchmarks.optimizers.simulation.task import SimulatedTask
from benchmarks.optimizers.simulation.vocabulary import RULES

TEST_ITEMS = 400


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What makes a kind of task; a seed makes a world of it.

    Attributes:
        rules: How many rules help, cures of clashes not counted.
        needs: Fewest and most rules that an item needs.
        skew: How unevenly: each rule is needed by this share fewer items than the one before.
        miss: Range of the factors of absent rules.
        components: Prompts of the task; rules are dealt out among them in turn.
        trap: Share of items that the strongest rule hurts unless a guard is there; 0 = no trap.
        trap_factor: What the trap does to these items.
        fork: What rules of both families in one prompt do without the bridge; 1 = no families.
    """

    rules: int = 10
    needs: tuple[int, int] = (1, 3)
    skew: float = 0.13
    miss: tuple[float, float] = (0.3, 0.6)
    floor: float = 0.1
    cap: float = 0.95
    idle_factor: float = 0.99
    length_factor: float = 1.0
    hint_rate: float = 0.70
    noise: Noise = "prompt"
    components: tuple[str, ...] = ("answer",)
    trap: float = 0.0
    trap_factor: float = 0.3
    fork: float = 1.0
    train: int = 60
    validation: int = 40
    skill: Skill = field(default_factory=Skill)


SPECS: dict[str, Spec] = {
    "easy": Spec(rules=6, needs=(3, 5), skew=0.1, miss=(0.4, 0.7)),
    "rules": Spec(),
    "noisy": Spec(noise="sample", cap=0.85, floor=0.25, needs=(2, 4), skew=0.1, miss=(0.4, 0.7)),
    "long": Spec(rules=16, skew=0.15, miss=(0.2, 0.55), train=120, validation=60),
    "cost": Spec(needs=(1, 4), skew=0.1, idle_factor=0.945, length_factor=0.998),
    "trap": Spec(needs=(1, 4), skew=0.16, miss=(0.3, 0.7), floor=0.15, trap=0.6),
    "fork": Spec(skew=0.1, miss=(0.15, 0.4), fork=0.4),
    "two": Spec(
        components=("plan", "answer"), needs=(1, 4), skew=0.15, miss=(0.4, 0.65), floor=0.15
    ),
}
"""The eight tasks of the comparison."""

SPECS["null"] = Spec(miss=(1.0, 1.0), floor=0.2, cap=0.6)
for _name in ("rules", "noisy", "trap", "fork"):
    SPECS[f"weak-{_name}"] = replace(
        SPECS[_name], skill=WEAK, hint_rate=0.35, train=100, validation=100
    )

EIGHT: tuple[str, ...] = ("easy", "rules", "noisy", "long", "cost", "trap", "fork", "two")


def make_task(name: str, *, seed: int) -> SimulatedTask:
    """Return a world of a kind of task.

    Args:
        name: A key of ``SPECS``.
        seed: Which world.

    Raises:
        KeyError: There is no such kind.
    """
    return build_task(name, SPECS[name], seed=seed)


def build_task(name: str, spec: Spec, *, seed: int) -> SimulatedTask:
    """Return a world of a kind of task that is not in the catalogue."""
    draw = generator("world", name, seed)
    rules = _rules(spec, draw)
    landscape = Landscape(
        components=spec.components,
        rules=rules,
        clashes=_clashes(spec, rules),
        floor=spec.floor,
        cap=spec.cap,
        idle_factor=spec.idle_factor,
        length_factor=spec.length_factor,
        hint_rate=spec.hint_rate,
        noise=spec.noise,
    )
    sizes = {"train": spec.train, "validation": spec.validation, "test": TEST_ITEMS}
    items = {
        split: [_item(spec, f"{split}-{number}", draw) for number in range(size)]
        for split, size in sizes.items()
    }
    openings = tuple(f"You handle the {name} of each case." for name in spec.components)
    reflector = Reflector(rules, openings, spec.skill, (name, seed))
    return SimulatedTask(name, seed, landscape, items, reflector=reflector)


def _rules(spec: Spec, draw: random.Random) -> tuple[Rule, ...]:
    """Return the rules that items need, then the cures; in a trap, the first one is strongest."""
    cures = int(spec.trap > 0) + int(spec.fork < 1)
    chosen = draw.sample(RULES, spec.rules + cures)
    misses = [draw.uniform(*spec.miss) for _ in range(spec.rules)]
    if spec.trap:
        misses[0] = spec.miss[0]
    misses += [1.0] * cures
    return tuple(
        Rule(phrase=phrase, hint=hint, component=component, miss=miss)
        for (phrase, hint), component, miss in zip(
            chosen, cycle(spec.components), misses, strict=False
        )
    )


def _clashes(spec: Spec, rules: tuple[Rule, ...]) -> tuple[Clash, ...]:
    cure = len(rules) - 1
    if spec.trap:
        return (Clash(sides=(frozenset({0}),), cure=cure, factor=spec.trap_factor),)
    if spec.fork < 1:
        half = spec.rules // 2
        families = (frozenset(range(half)), frozenset(range(half, spec.rules)))
        return (Clash(sides=families, cure=cure, factor=spec.fork),)
    return ()


def _item(spec: Spec, item_id: str, draw: random.Random) -> Item:
    """Return an item: it needs rules of one family if there are families."""
    pool = list(range(spec.rules))
    exposed = frozenset[int]()
    if spec.fork < 1:
        half = spec.rules // 2
        pool = draw.choice([pool[:half], pool[half:]])
        exposed = frozenset({0})
    if spec.trap and draw.random() < spec.trap:
        exposed = frozenset({0})
    draw_rank = {rule: draw.random() ** ((1 - spec.skew) ** -rule) for rule in pool}
    needs = set(sorted(pool, key=draw_rank.__getitem__)[-draw.randint(*spec.needs) :])
    if spec.trap:
        needs.add(0)
    return Item(id=item_id, needs=frozenset(needs), exposed=exposed)
