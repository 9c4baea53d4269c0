"""The simulated reflection model: forgets, learns from hints, chatters, guesses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.optimizers.simulation.draws import Occurrences, generator
from benchmarks.optimizers.simulation.landscape import Rule
from benchmarks.optimizers.simulation.reading import read
from benchmarks.optimizers.simulation.vocabulary import IDLE, rule_sentence


@dataclass(frozen=True, kw_only=True)
class Skill:
    """How good a reflection model is: chances between 0 and 1.

    Attributes:
        drop: Chance that a sentence of the prompt gets lost.
        absorb: Chance that a hint in the text becomes a rule of the new prompt.
        chatter: Chance that an idle sentence is added.
        guess: Chance that a rule is added which nothing pointed to.
        borrow: Chance that a sentence of another prompt in the text is taken over.
    """

    drop: float = 0.04
    absorb: float = 0.80
    chatter: float = 0.25
    guess: float = 0.30
    borrow: float = 0.50


REASON = "Wrong: "
"""What the metric puts before a hint."""

WEAK = Skill(absorb=0.25, chatter=0.60)
"""A reflection model that is hardly up to its job."""


class Reflector:
    """Writes a new prompt from nothing but a text: the current prompt and feedback on it.

    It starts from the prompt that the text calls the current one (``reading.py``), borrows from
    other prompts that are shown, and learns from hints wherever they are.

    Args:
        rules: The rules it can express; those of the task.
        openings: First sentences of the seed prompts.
        skill: How good it is.
        key: What its draws depend on, besides the text.
    """

    def __init__(
        self, rules: tuple[Rule, ...], openings: tuple[str, ...], skill: Skill, key: object
    ) -> None:
        self._rules = rules
        self._openings = openings
        self._skill = skill
        self._key = key
        self._asked = Occurrences()
        known = (*openings, *(rule_sentence(rule.phrase) for rule in rules), *IDLE)
        self._sentences = re.compile("|".join(map(re.escape, known)))

    def rewrite(self, text: str) -> str:
        """Return a new prompt."""
        draw = generator("reflect", self._key, text, self._asked.next(text))
        shown = read(text, self._openings)
        known = self._known(shown.current)
        opening = [sentence for sentence in known if sentence in self._openings][:1]
        body = [sentence for sentence in known if sentence not in self._openings]
        kept = [sentence for sentence in body if draw.random() >= self._skill.drop]
        further = [s for s in self._known(*shown.others) if s not in {*known, *self._openings}]
        kept += [sentence for sentence in further if draw.random() < self._skill.borrow]
        learnt = [
            rule_sentence(rule.phrase)
            for rule in self._rules
            if rule.hint in text and draw.random() < self._skill.absorb
        ]
        if draw.random() < self._skill.guess:
            learnt.append(rule_sentence(draw.choice(self._rules).phrase))
        if draw.random() < self._skill.chatter:
            learnt.append(draw.choice(IDLE))
        return " ".join(dict.fromkeys([*opening, *kept, *learnt]))

    def _known(self, *texts: str) -> list[str]:
        found = (sentence for text in texts for sentence in self._sentences.findall(text))
        return list(dict.fromkeys(found))

    def analyse(self, text: str) -> str:
        """Return what the feedback in a text has in common: the hints that it takes in.

        It misses a hint in feedback as often as ``rewrite`` does; what an earlier analysis says
        gets lost as rarely as a sentence of a prompt.
        """
        draw = generator("analyse", self._key, text)  # the same in all fields of one reply
        hints = [
            rule.hint
            for rule in self._rules
            if rule.hint in text and draw.random() < self._chance_to_note(rule, text)
        ]
        return "; ".join(hints) or "no pattern can be seen in the failures"

    def _chance_to_note(self, rule: Rule, text: str) -> float:
        is_feedback = f"{REASON}{rule.hint}" in text
        return self._skill.absorb if is_feedback else 1 - self._skill.drop
