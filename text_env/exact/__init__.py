"""List every response of a tiny task, so that expectations are sums and gradients are exact."""

from __future__ import annotations

from text_env.exact.enumerated import RULES, ExactScore, ExactTask
from text_env.exact.responses import Responses, list_responses, prefix_numbers
from text_env.exact.tree import Optimum, Tree, Values
from text_env.exact.values import action_values, kl_optimum, response_logprobs, state_values

__all__ = [
    "RULES",
    "ExactScore",
    "ExactTask",
    "Optimum",
    "Responses",
    "Tree",
    "Values",
    "action_values",
    "kl_optimum",
    "list_responses",
    "prefix_numbers",
    "response_logprobs",
    "state_values",
]
