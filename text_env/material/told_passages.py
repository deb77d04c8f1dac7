"""Make short passages that tell a few facts, with a question that one of them answers.

The sentences are written here (Apache-2.0, as this package). What they ask for is to find and to copy, as the first of the tasks of
Weston et al. 2015 (arXiv:1502.05698); left out are facts that change and answers that need two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from text_env.material.hashed_split import check_split, split_of
from text_env.prompts import Split

NAMES = ("Anna", "Tom", "Lucy", "Ben", "Mary", "Jack", "Sarah", "David", "Kate", "Peter", "Jane", "Paul")
PLACES = ("Paris", "London", "Rome", "China", "India", "Texas", "school", "church", "town", "bed", "prison", "court")
THINGS = ("tea", "fish", "music", "books", "horses", "dogs", "wine", "chess", "snow", "rain", "games", "films")
COLOURS = ("red", "blue", "green", "black", "white", "brown", "grey", "yellow", "pink", "purple")
# statement, question; {name} and {answer} stand in them
RELATIONS = {
    "place": ("{name} is in {answer}.", "Where is {name}?", PLACES),
    "taste": ("{name} likes {answer}.", "What does {name} like?", THINGS),
    "hat": ("{name} has a {answer} hat.", "What colour is the hat of {name}?", COLOURS),
}


@dataclass(frozen=True)
class ToldPassages:
    """Draw a passage of a few facts about different people, and a question about one of them.

    Args:
        num_facts: from 1 to 12, each about another person.
        split: "train" or "held_out". A fact (a person with what is said of them) is told on one side only, so that what is measured on the
            held-out side is whether a policy looks it up.

    Errors: ValueError for another number of facts, or an unknown split.
    """

    num_facts: int = 3
    split: Split = "train"

    def __post_init__(self) -> None:
        check_split(self.split)
        if not 1 <= self.num_facts <= len(NAMES):
            raise ValueError(f"num_facts must be from 1 to {len(NAMES)}, the people there are, got {self.num_facts}")

    def __call__(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return prompt (passage and question), references (the one word) and id (which fact is asked)."""
        people = [NAMES[place] for place in rng.permutation(len(NAMES))[: self.num_facts]]
        facts = [self._fact(name, rng) for name in people]
        asked = int(rng.integers(self.num_facts))
        name, relation, answer = facts[asked]
        told = " ".join(RELATIONS[kind][0].format(name=who, answer=what) for who, kind, what in facts)
        question = RELATIONS[relation][1].format(name=name)
        return {"prompt": f"{told} {question}", "references": [answer], "id": " ".join(facts[asked])}

    def _fact(self, name: str, rng: np.random.Generator) -> tuple[str, str, str]:
        """Return a person, a relation and what stands in it, of this split."""
        relations = list(RELATIONS)
        while True:
            relation = relations[int(rng.integers(len(relations)))]
            answers = RELATIONS[relation][2]
            answer = answers[int(rng.integers(len(answers)))]
            if split_of(f"fact {name} {relation} {answer}") == self.split:
                return name, relation, answer
