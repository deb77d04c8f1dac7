"""Count what questions cost, and keep a budget that is never exceeded, however many questions are on the way."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from feedback.asking.chat_endpoint import ChatReply

MILLION = 1_000_000
AROUND_A_PROMPT = 64  # tokens that a server's chat template may put around the messages


class BudgetError(RuntimeError):
    """Report that the next question may cost more than is left."""


@dataclass(frozen=True)
class Prices:
    """Hold prices of a million tokens."""

    prompt: float
    completion: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        if not all(math.isfinite(price) and price >= 0 for price in (self.prompt, self.completion)):
            raise ValueError(f"prices of a million tokens must be finite and at least 0, got {self.prompt} and {self.completion}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of some tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / MILLION


class Spending:
    """Count requests, tokens and their cost.

    Before a question is sent, the most that it may cost is set aside: a token for each byte of it, and all the tokens of an answer that are
    allowed. A question that must wait for that to be free waits. What a request costs that fails is known to nobody, and is not counted;
    an answer that does not say its tokens is charged what was set aside.

    Args:
        budget: None = none. prices: needed for a budget.
    """

    def __init__(self, prices: Prices | None, budget: float | None) -> None:
        if budget is not None and (prices is None or not budget >= 0):
            raise ValueError(f"a budget must be at least 0, and needs prices=(PROMPT, COMPLETION) of a million tokens, got {budget}")
        self.prices, self.budget = prices or Prices(0.0, 0.0), budget
        self.num_requests = self.prompt_tokens = self.completion_tokens = 0
        self.cost = 0.0
        self._set_aside, self._num_open = 0.0, 0
        self._changed = threading.Condition()

    def count_request(self) -> None:
        """Count a request that is sent."""
        with self._changed:
            self.num_requests += 1

    @contextmanager
    def question(self, num_bytes: int, max_tokens: int) -> Iterator[list[ChatReply]]:
        """Set aside what a question may cost, and charge what the answer did: the one that was put into the list. Errors: BudgetError."""
        most = self.prices.cost(num_bytes + AROUND_A_PROMPT, max_tokens)
        self._reserve(most)
        answers: list[ChatReply] = []
        try:
            yield answers
        finally:
            with self._changed:
                self._set_aside, self._num_open = self._set_aside - most, self._num_open - 1
                for reply in answers:
                    self._charge(reply, most)
                self._changed.notify_all()

    def _reserve(self, most: float) -> None:
        with self._changed:
            while self.budget is not None and self.cost + self._set_aside + most > self.budget:
                if not self._num_open:
                    raise BudgetError(f"the next question may cost {most:.6g} {self.prices.currency}: {self}")
                self._changed.wait()
            self._set_aside, self._num_open = self._set_aside + most, self._num_open + 1

    def _charge(self, reply: ChatReply, most: float) -> None:
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        stated = reply.prompt_tokens is not None and reply.completion_tokens is not None
        self.cost += self.prices.cost(reply.prompt_tokens or 0, reply.completion_tokens or 0) if stated else most

    def __str__(self) -> str:
        """Say what was spent."""
        of = "" if self.budget is None else f" of {self.budget:.6g}"
        return (
            f"{self.cost:.6g}{of} {self.prices.currency} spent on {self.num_requests} requests, "
            f"{self.prompt_tokens} prompt and {self.completion_tokens} completion tokens"
        )
