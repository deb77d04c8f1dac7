"""Let a simulated annotator compare responses to the same prompt, as evidence for a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from feedback.learned.evidence import Gathering
from feedback.simulated.annotator import Annotator
from feedback.simulated.keyed_noise import content_keys
from feedback.simulated.tastes import as_taste, features_of, in_sets, utilities_of
from feedback.study.records import Passage
from text_env.episode import Episode


def compare_neighbours(gathering: Gathering, episodes: Sequence[Episode], taste: Any, annotator: Annotator, seed: int) -> None:
    """Gather what an annotator says of episodes 0 and 1, 2 and 3, and so on; equal texts and missing answers are left out.

    Args:
        gathering: is added to. episodes: neighbours answer one prompt.
        taste: what the annotator likes: a bounded feedback source, or its import path.
        seed: decides which of two is shown first.
    """
    pairs = np.arange(len(episodes)).reshape(-1, 2)
    keys = content_keys((each.prompt.text, each.response, "") for each in episodes)
    utilities, steps = utilities_of(as_taste(taste), episodes, annotator.points)
    features = in_sets(features_of([each.response for each in episodes], steps), pairs)
    sides = np.random.default_rng(seed).choice([-1, 1], size=len(pairs))
    said = annotator.compare(utilities[pairs], keys[pairs], features, shown_first=sides)
    for (first, second), value in zip(pairs, said.value, strict=True):
        one, other = (Passage(episodes[at].prompt.text, episodes[at].response) for at in (first, second))
        if not np.isnan(value) and one.id != other.id:
            gathering.compare(one, other, float(value), annotator.name)
