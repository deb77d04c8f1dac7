"""Let a judge compare the responses to one prompt, each pair in both orders, so that a preference for a place cancels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from feedback.asking.asker import Answer
from feedback.asking.chat_endpoint import Messages
from feedback.asking.judge_prompts import ComparisonPrompt
from text_env.episode import Episode, Judgement


def share_of_wins(
    episodes: Sequence[Episode], form: ComparisonPrompt, ask: Callable[[list[Messages]], list[Answer]], rater: str
) -> list[Judgement]:
    """Return each response's share of wins over the other responses to its prompt.

    v(i, j) = (said of i before j + 1 - said of j before i) / 2,   score(i) = mean_j v(i, j)

    Equal texts tie, and nobody is asked. A pair is left out where one of its two answers is missing; a response without a pair abstains.
    `parts` count a response's pairs and those whose verdict the order turned.
    """
    pairs = _pairs(episodes)
    asked = [(one, other) for one, other in pairs if episodes[one].response != episodes[other].response]
    orders = [order for one, other in asked for order in ((one, other), (other, one))]
    questions = [form.messages(episodes[a].prompt.text, episodes[a].response, episodes[b].response) for a, b in orders]
    answers = dict(zip(orders, ask(questions), strict=True))
    values: list[list[float]] = [[] for _ in episodes]
    turned, seconds = np.zeros(len(episodes)), np.zeros(len(episodes))
    reasons: list[list[str]] = [[] for _ in episodes]
    for one, other in pairs:
        value, is_turned = 0.5, False
        if (one, other) in answers:
            both = [answers[one, other], answers[other, one]]
            for number, answer in itertools.product((one, other), both):
                seconds[number] += answer.seconds
                reasons[number] += [answer.problem if answer.said is None else answer.said.reason]
            if both[0].said is None or both[1].said is None:
                continue
            first, second = both[0].said.value, both[1].said.value
            value, is_turned = (first + 1.0 - second) / 2.0, first != 1.0 - second
        values[one].append(value)
        values[other].append(1.0 - value)
        turned[[one, other]] += is_turned
    return [
        Judgement(
            float(np.mean(won)) if won else None,
            rater=rater,
            critique="\n".join(why),
            seconds=float(time),
            parts={"pairs": float(len(won)), "turned by order": float(count)},
        )
        for won, why, time, count in zip(values, reasons, seconds, turned, strict=True)
    ]


def _pairs(episodes: Sequence[Episode]) -> list[tuple[int, int]]:
    """Return the numbers of all pairs of responses to one prompt."""
    groups: dict[str, list[int]] = {}
    for number, episode in enumerate(episodes):
        groups.setdefault(episode.prompt.text, []).append(number)
    return [pair for members in groups.values() for pair in itertools.combinations(members, 2)]
