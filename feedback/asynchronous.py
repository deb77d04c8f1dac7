"""Let an agent go on while people judge: hand their questions out, abstain at once, and report later what they said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback.people import HumanFeedback, Ticket
from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode, Judgement


class Asynchronous(Source):
    """Ask people without waiting for them.

    Called with episodes it puts questions into the study and abstains. `settled()` says later what people have said, each episode once;
    `agents.train` writes on meanwhile, and puts each score where its episode is.

    Args:
        people: how people are asked; None = `HumanFeedback(**settings)`.
        most_waiting: responses that may be unanswered before the agent stops writing more; None = twice what an update learns from, so
            that nobody is asked about texts of a policy that has long moved on.
        max_age: updates of the policy after which a response is given up, since it says little of the present one.
        poll: seconds between two looks into the study while there is nothing else to do.
        settings: of `HumanFeedback`, where `people` is None.

    Comparisons and rankings are made among the responses of one call, so their environment has deferred scoring, as for `HumanFeedback`.
    What is unanswered when a run ends stays in the study; a run that goes on asks about new responses.
    It abstains on everything, an empty response among it, when it is asked. Gamed by: whatever games the people.
    """

    def __init__(
        self,
        people: HumanFeedback | None = None,
        *,
        most_waiting: int | None = None,
        max_age: int = 8,
        poll: float = 0.25,
        **settings: Any,
    ) -> None:
        if people is not None and settings:
            raise ValueError(f"settings go with people=None; these people are set already, got {sorted(settings)}")
        if (most_waiting is not None and most_waiting < 1) or max_age < 0 or not poll > 0:
            raise ValueError(
                f"most_waiting must be at least 1, max_age at least 0 and poll above 0, got {most_waiting}, {max_age} and {poll}"
            )
        self.people = HumanFeedback(**settings) if people is None else people
        self.most_waiting, self.max_age, self.poll = most_waiting, max_age, poll
        self.low, self.high, self.unit = self.people.low, self.people.high, self.people.unit
        self.is_comparative = self.people.is_comparative
        self._writer = ("", 0)
        self._tickets: list[Ticket] = []

    @classmethod
    def example(cls) -> Asynchronous:
        """Return one whose person is simulated, in a study that nobody else has."""
        return cls(HumanFeedback.example())

    def __call__(self, episodes: Sequence[Episode]) -> list[None]:
        """Ask about each episode, and abstain."""
        self._tickets += self.people.submit(episodes, *self._writer)
        return [None] * len(episodes)

    @property
    def num_waiting(self) -> int:
        """Return how many episodes have been asked about and not reported yet."""
        return len(self._tickets)

    @property
    def study(self) -> str | Path:
        """Return where the questions are."""
        return self.people.study

    def write_as(self, policy: str, version: int) -> None:
        """Note who writes from now on; it is kept with what is written."""
        self._writer = (policy, version)

    def settled(self) -> list[tuple[Episode, Judgement]]:
        """Return what people have said since the last call, each episode once."""
        said = list(zip(self._tickets, self.people.judgements(self._tickets), strict=True))
        self._tickets = [ticket for ticket, judgement in said if judgement is None]
        return [(ticket.episode, judgement) for ticket, judgement in said if judgement is not None]

    def give_up(self, episodes: Sequence[Episode]) -> None:
        """Ask about these no more, except where an episode that is still wanted is part of the same question."""
        unwanted = {id(episode) for episode in episodes}
        dropped = [ticket for ticket in self._tickets if id(ticket.episode) in unwanted]
        self._tickets = [ticket for ticket in self._tickets if id(ticket.episode) not in unwanted]
        still = {name for ticket in self._tickets for name in ticket.questions}
        self.people.cancel([ticket for ticket in dropped if not still & set(ticket.questions)])

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the settings; what waits is not copied."""
        return vars(self) | {"_tickets": []}
