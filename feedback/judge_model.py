"""Judge by a language model that is asked for a rating, or for which of two responses is better, behind any endpoint of OpenAI's kind.

Zheng et al. 2023; Bai et al. 2022 (feedback from a model instead of people). Left out: probabilities of the rating's tokens, which few
endpoints give.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from feedback.asking.asker import Answer, Asker, OnFailure
from feedback.asking.chat_endpoint import ChatEndpoint, FunctionEndpoint, Messages, Patience
from feedback.asking.judge_prompts import RUBRIC, ComparisonPrompt, RatingPrompt
from feedback.asking.pair_verdicts import share_of_wins
from feedback.asking.question_budget import Prices, Spending
from feedback.asking.reply_store import ReplyStore
from feedback.source import Source
from text_env.episode import Judgement
from text_env.names import resolve

if TYPE_CHECKING:
    from text_env.episode import Episode

By = Literal["rating", "comparison"]
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class JudgeModel(Source):
    """Score by the rating that a judge model writes, with its reason as the critique; or by the share of comparisons that a response wins.

    The prompt and the response are quoted between lines that neither can hold, and called data, so that an instruction in a response is a
    part of what is judged. Read is only the last line of an answer, "Rating: 7". An answer without one, or with a number outside the scale,
    is asked for again, and at last the judge abstains, with the reason as the critique: nonsense is never a 0.

    Args:
        model: its name at the endpoint.
        endpoint: the address before /chat/completions, such as http://127.0.0.1:8000/v1; or a function of the messages that returns the
            answer, or its import path.
        by: "rating", or "comparison" of all pairs of responses to one prompt in a batch, each in both orders: n * (n - 1) questions for n
            responses. score = share of wins, a tie is half of one; environments for it have a group size and deferred scoring.
        rubric: what is to be judged.
        template: of a rating, a text with {prompt} and {response}, and {rubric}, {low} and {high}; None = the usual one.
        low, high: of a rating; None = 1 and 10. Of comparisons: 0 and 1.
        key_variable: the name of the environment variable that holds the key; None = none is sent. The key itself is read at each request
            and is in no message, pickle or store.
        temperature, max_new_tokens: of an answer.
        request: further fields of each request, such as {"seed": 1}; None takes one out, as some models want it:
            {"temperature": None, "max_tokens": None, "max_completion_tokens": 256}. A budget goes by max_new_tokens.
        prices: of a million prompt tokens and of a million completion tokens, in `currency`.
        budget: what one source may spend, in `currency`; it is never exceeded by what answers state. A copy has a budget of its own.
        on_budget: "raise" an error that says what was spent, or "abstain", where the next question may cost more than is left.
        on_down: "raise" an error with the address and the last status, or "abstain", where the endpoint gives no answer after all retries.
            What it refuses (a wrong key, an unknown model) is always an error.
        cache: a file for the answers that could be read, by model, settings and texts, so that a run that is repeated costs nothing; None =
            they are kept in memory.
        at_once: questions that may be on the way.
        patience: timeouts and retries (`Patience`), or its fields in a dictionary.

    `spending` says requests, tokens and cost; `num_abstained` counts abstentions.
    An empty response is asked about as any other.
    Cost: one request a response, a few hundred tokens, typically seconds.
    Gamed by: whatever the judge falls for: length, confidence, flattery, its own style, and text that looks like a verdict; quoting keeps a
    response from ending its quotation, not a weak judge from obeying what it quotes. Compare with people before you trust it.

    >>> judge = JudgeModel("word counter", "feedback.asking.word_counter:rate_by_words")
    >>> from feedback.example_episodes import example_episodes
    >>> judgement = judge(example_episodes())[3]  # " fine."
    >>> judgement.score, judgement.critique, judge.spending.num_requests
    (2.0, 'Different words: 1.', 12)

    On the command line: `python -m feedback try feedback.judge_model:JudgeModel --text " good" --option model=NAME endpoint=ADDRESS`.
    """

    def __init__(
        self,
        model: str,
        endpoint: str | Callable[[Messages], str],
        by: By = "rating",
        *,
        rubric: str = RUBRIC,
        template: str | None = None,
        low: float | None = None,
        high: float | None = None,
        key_variable: str | None = None,
        temperature: float = 0.0,
        max_new_tokens: int = 256,
        request: Mapping[str, Any] | None = None,
        prices: tuple[float, float] | None = None,
        currency: str = "USD",
        budget: float | None = None,
        on_budget: OnFailure = "raise",
        on_down: OnFailure = "raise",
        cache: str | Path | None = None,
        at_once: int = 8,
        patience: Patience | Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.endpoint, self.by, self.rubric, self.template = model, endpoint, by, rubric, template
        self.key_variable, self.temperature, self.max_new_tokens = key_variable, temperature, max_new_tokens
        self.request = dict(request or {})
        self.prices, self.currency, self.budget, self.on_budget, self.on_down = prices, currency, budget, on_budget, on_down
        self.cache, self.at_once = cache, at_once
        self.patience = patience if isinstance(patience, Patience) else Patience(**(patience or {}))
        self._check()
        self.is_comparative = by == "comparison"
        self.low, self.high = self._scale(low, high)
        self.unit = "share of wins" if self.is_comparative else "rating"
        self._form = RatingPrompt(rubric, self.low, self.high, template)
        self._begin()

    @classmethod
    def example(cls) -> JudgeModel:
        """Return one whose answers come from a function that counts words."""
        return cls("word counter", "feedback.asking.word_counter:rate_by_words")

    @property
    def spending(self) -> Spending:
        """Return what was asked and what it cost."""
        return self._asker.spending

    @property
    def num_abstained(self) -> int:
        """Return how many responses got no score."""
        return self._num_abstained

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return a judgement for each episode, in their order. Errors: EndpointError, BudgetError."""
        rater = f"judge {self.model}"
        if self.is_comparative:
            form = ComparisonPrompt(self.rubric)
            judgements = share_of_wins(episodes, form, lambda questions: self._asker.ask(questions, form), rater)
        else:
            answers = self._asker.ask([self._form.messages(each.prompt.text, each.response) for each in episodes], self._form)
            judgements = [_judgement(answer, rater) for answer in answers]
        self._num_abstained += sum(judgement.score is None for judgement in judgements)
        return judgements

    def _begin(self) -> None:
        """Make what asks, with nothing spent and nothing known."""
        self._num_abstained = 0
        is_address = isinstance(self.endpoint, str) and self.endpoint.partition("://")[0] in ("http", "https")
        answering = resolve(self.endpoint) if isinstance(self.endpoint, str) and not is_address else self.endpoint
        settings = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_new_tokens, **self.request}
        self._asker = Asker(
            ChatEndpoint(answering, self.key_variable, self.patience) if isinstance(answering, str) else FunctionEndpoint(answering),
            {name: value for name, value in settings.items() if value is not None},
            self.max_new_tokens,
            self.patience,
            Spending(None if self.prices is None else Prices(*self.prices, self.currency), self.budget),
            ReplyStore(self.cache),
            self.at_once,
            self.on_down,
            self.on_budget,
        )

    def _check(self) -> None:
        for name, value, allowed in (
            ("by", self.by, get_args(By)),
            ("on_budget", self.on_budget, get_args(OnFailure)),
            ("on_down", self.on_down, get_args(OnFailure)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if self.at_once < 1 or self.max_new_tokens < 1:
            raise ValueError(f"at_once and max_new_tokens must be at least 1, got {self.at_once} and {self.max_new_tokens}")
        if self.key_variable is not None and not VARIABLE.fullmatch(self.key_variable):
            raise ValueError("key_variable must be the name of an environment variable, such as OPENAI_API_KEY, and not the key")
        if self.by == "comparison" and self.template is not None:
            raise ValueError('a template is for by="rating"; comparisons take the rubric')

    def _scale(self, low: float | None, high: float | None) -> tuple[float, float]:
        if self.is_comparative:
            if low is not None or high is not None:
                raise ValueError(f'low and high are for by="rating"; shares of wins go from 0 to 1, got {low} and {high}')
            return 0.0, 1.0
        stated = 1.0 if low is None else float(low), 10.0 if high is None else float(high)
        if not (math.isfinite(stated[0]) and math.isfinite(stated[1]) and stated[0] < stated[1]):
            raise ValueError(f"low and high must be finite numbers with low < high, got {low} and {high}")
        return stated

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the settings, not what was asked, spent or kept in memory."""
        return {name: value for name, value in vars(self).items() if name not in ("_asker", "_num_abstained")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


def _judgement(answer: Answer, rater: str) -> Judgement:
    if answer.said is None:
        return Judgement(None, rater=rater, critique=answer.problem, seconds=answer.seconds)
    return Judgement(answer.said.value, rater=rater, critique=answer.said.reason, seconds=answer.seconds)
