from __future__ import annotations

import copy
import math
import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from feedback.check import CHECKS, check_feedback
from feedback.contains import Contains
from feedback.exact_match import ExactMatch
from feedback.example_episodes import example_episodes
from text_env.episode import Ending, Episode, Judgement
from text_env.scoring import FeedbackError


class Sound:
    """Judge rightly; each broken source below differs from it in one thing."""

    low = 0.0
    high = 10_000.0
    unit = "characters"

    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return [self.score(episode) for episode in episodes]

    def score(self, episode: Episode) -> Any:
        return float(len(episode.response))


class Unitless(Sound):
    unit = None


class UpsideDown(Sound):
    low, high = 1.0, 0.0


class WordyScale(Sound):
    low = "none"


class UndecidedComparison(Sound):
    is_comparative = "sometimes"


class NoScale:
    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        return [0.0 for _ in episodes]


class PlainFunction(NoScale):
    def __call__(self, prompt: str, response: str) -> float:  # type: ignore[override]
        return 0.0


class FailsOnNothing(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        longest = max(len(episode.response) for episode in episodes)
        return [min(len(episode.response), longest) for episode in episodes]


class AnswersNothing(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return super().__call__(episodes) or [0.0]


class DividesByLength(Sound):
    def score(self, episode: Episode) -> float:
        return 1 / len(episode.response)


class ShortWindow(Sound):
    def score(self, episode: Episode) -> float:
        if len(episode.ids) > 512:
            raise IndexError(f"index {len(episode.ids)} is out of range")
        return 1.0


class AsciiOnly(Sound):
    def score(self, episode: Episode) -> float:
        return float(len(episode.response.encode("ascii")))


class OneForAll(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return 0.5 if episodes else []


class OneTooFew(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return super().__call__(episodes)[: 2 if len(episodes) < 3 else -1]


class Stringly(Sound):
    def score(self, episode: Episode) -> str:
        return f"{len(episode.response)}" if "cat" in episode.response else 0  # type: ignore[return-value]


class SometimesNaN(Sound):
    def score(self, episode: Episode) -> float:
        return math.nan if "cat" in episode.response else 0.0


class Silent(Sound):
    def score(self, episode: Episode) -> None:
        return None


class OutOfScale(Sound):
    high = 1.0


class Sorting(Sound):
    def __call__(self, episodes: Any) -> Any:
        episodes.sort(key=lambda episode: len(episode.response))
        return super().__call__(episodes)


class Censor(Sound):
    def score(self, episode: Episode) -> float:
        episode.ids[:] = 0
        return 1.0


class Moody(Sound):
    def __init__(self) -> None:
        self.asked = 0

    def score(self, episode: Episode) -> float:
        self.asked += 1
        return float(self.asked % 7)


class Forgetful(Sound):
    """Abstain when asked a second time."""

    def __init__(self) -> None:
        self.known: set[int] = set()

    def score(self, episode: Episode) -> float | None:
        if episode.index in self.known:
            return None
        if episode.response == " fine.":
            self.known.add(episode.index)
        return 1.0


class ByPlace(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return [float(place) for place, _ in enumerate(episodes)]


class ByLengthOrder(Sound):
    """Answer in the order of lengths, as a padded classifier that forgets to undo its sorting."""

    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return sorted(super().__call__(episodes)) if episodes and episodes[0].response else super().__call__(episodes)


class Whitened(Sound):
    low = -math.inf

    def __call__(self, episodes: Sequence[Episode]) -> Any:
        scores = super().__call__(episodes)
        return [score - sum(scores) / len(scores) for score in scores]


class Comparing(Whitened):
    is_comparative = True


class TokensByBatch(Sound):
    def __call__(self, episodes: Sequence[Episode]) -> Any:
        return [self.spread(episode, at=0 if len(episodes) > 1 else -1) for episode in episodes]

    def spread(self, episode: Episode, at: int) -> Judgement:
        token_scores = np.zeros(len(episode.ids))
        if len(token_scores):
            token_scores[at] = 2.0
        return Judgement(float(token_scores.sum()), token_scores)


class BadCopy(Sound):
    factor = 1.0

    def __deepcopy__(self, memo: object) -> BadCopy:
        twin = BadCopy()
        twin.factor = 2.0
        return twin

    def score(self, episode: Episode) -> float:
        return self.factor * len(episode.response)


class Locked(Sound):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class PaysByStep:
    low, high, unit = 0.0, 1.0, ""

    def pay(self, prefixes: Sequence[Any]) -> list[float]:
        return [0.0 for _ in prefixes]


BROKEN: list[tuple[str, Any, str]] = [
    (
        "scale",
        NoScale(),
        "feedback NoScale has no low: state the scale as low, high and unit; feedback.text_feedback does it for a plain function",
    ),
    ("scale", PlainFunction(), "feedback PlainFunction has no low: state the scale as low, high and unit"),
    ("scale", UpsideDown(), "feedback UpsideDown states a scale from 1.0 to 0.0: low and high must be numbers with low <= high"),
    ("scale", WordyScale(), "feedback WordyScale states a scale from 'none' to 10000.0: low and high must be numbers with low <= high"),
    ("scale", Unitless(), "feedback Unitless states the unit None: a unit must be a string, empty if there is none"),
    ("scale", UndecidedComparison(), "feedback UndecidedComparison states is_comparative = 'sometimes': it must be True or False"),
    (
        "empty_batch",
        FailsOnNothing(),
        "feedback FailsOnNothing raised ValueError: max() arg is an empty sequence when asked about no episode: return an empty list",
    ),
    ("empty_batch", AnswersNothing(), "feedback AnswersNothing gave 1 answers when asked about no episode: return an empty list"),
    (
        "empty_response",
        DividesByLength(),
        "feedback DividesByLength cannot judge an empty response: feedback DividesByLength raised ZeroDivisionError: division by zero",
    ),
    (
        "long_response",
        ShortWindow(),
        "feedback ShortWindow cannot judge a response of 2,000 words: feedback ShortWindow raised IndexError: index ",
    ),
    (
        "unicode_response",
        AsciiOnly(),
        "feedback AsciiOnly cannot judge a response in other scripts: feedback AsciiOnly raised UnicodeEncodeError: ",
    ),
    ("empty_response", OneForAll(), "feedback OneForAll must return a list with one answer per episode"),
    ("answers", OneTooFew(), "feedback OneTooFew must return one answer per episode: asked about episodes 0 to 11 (12), it returned 11"),
    (
        "answers",
        Stringly(),
        "feedback Stringly must return a finite number, None (no opinion) or a Judgement, got '42' for episode 2: ' about a cat",
    ),
    (
        "answers",
        SometimesNaN(),
        "feedback SometimesNaN must return a finite number, None (no opinion) or a Judgement, got nan for episode 2: ' about a cat",
    ),
    ("abstention", Silent(), "feedback Silent abstained from all 12 episodes: give check_feedback episodes that it judges"),
    ("range", OutOfScale(), "feedback OutOfScale scored episode 0 44.0, outside its scale from 0.0 to 1.0"),
    ("mutation", Sorting(), "feedback Sorting changed the list of episodes that it was given: work on a copy"),
    ("mutation", Censor(), "feedback Censor changed episode 0: episodes are shared, so work on a copy"),
    ("determinism", Moody(), "asked twice: draw any noise from a generator keyed by the episode"),
    ("determinism", Forgetful(), "feedback Forgetful gave 1.0 and None for episode 3, asked twice: draw any noise"),
    (
        "order",
        ByPlace(),
        "feedback ByPlace gave 0.0 and 11.0 for episode 0, with the batch forwards and backwards: answer in the order asked",
    ),
    ("order", ByLengthOrder(), "with the batch forwards and backwards: answer in the order asked"),
    ("batch", Whitened(), "in a batch and alone: state is_comparative = True if the source compares the batch"),
    ("batch", TokensByBatch(), "feedback TokensByBatch gave other token scores for episode 0, in a batch and alone: state is_comparative"),
    ("copies", BadCopy(), "feedback BadCopy gave 44.0 and 88.0 for episode 0, itself and deep-copied: a copy must judge alike"),
]


@pytest.mark.parametrize(
    ("check", "source", "message"), BROKEN, ids=lambda value: type(value).__name__ if not isinstance(value, str) else ""
)
def test_a_broken_source_is_refused_by_the_check_that_is_named_after_its_fault(check: str, source: Any, message: str) -> None:
    with pytest.raises(FeedbackError, match=re.escape(message)):
        check_feedback(copy.deepcopy(source) if check != "copies" else source)
    earlier = list(CHECKS)[: list(CHECKS).index(check)]
    check_feedback(source, skip=[name for name in CHECKS if name not in earlier])


def test_every_check_has_a_source_that_it_refuses() -> None:
    assert {check for check, _, _ in BROKEN} == set(CHECKS)


def test_a_sound_source_passes_every_check() -> None:
    assert check_feedback(Sound()) == list(CHECKS)


def test_a_source_is_checked_by_its_import_path_too() -> None:
    assert check_feedback("feedback.sentiment:Sentiment") == list(CHECKS)
    with pytest.raises(ValueError, match=re.escape("there is no module 'nowhere'")):
        check_feedback("nowhere:Nothing")


def test_a_source_that_compares_its_batch_may_depend_on_it() -> None:
    check_feedback(Comparing())


@pytest.mark.parametrize("convert", [int, bool, np.float32, np.int64, np.bool_, np.array, lambda value: Judgement(float(value))])
def test_numbers_of_every_kind_are_answers(convert: Any) -> None:
    class Converted(Sound):
        def score(self, episode: Episode) -> Any:
            return convert("cat" in episode.response)

    with pytest.warns(UserWarning, match="feedback Converted cannot be pickled"):
        check_feedback(Converted())


def test_a_source_that_cannot_be_copied_or_pickled_passes_with_a_warning() -> None:
    with pytest.warns(UserWarning) as caught:
        check_feedback(Locked())
    messages = [str(warning.message) for warning in caught]
    assert [message.partition(",")[0] for message in messages] == [
        "feedback Locked cannot be deep-copied",
        "feedback Locked cannot be pickled",
    ]
    assert caught[0].filename == __file__


def test_small_differences_within_the_tolerance_are_no_differences() -> None:
    class Rounding(Sound):
        def __call__(self, episodes: Sequence[Episode]) -> Any:
            return [score + 1e-3 * (len(episodes) > 1) for score in super().__call__(episodes)]

    source = Rounding()
    with pytest.warns(UserWarning, match="cannot be pickled"):
        check_feedback(source)  # 1e-3 is 1e-7 of the scale
    with pytest.raises(FeedbackError, match="in a batch and alone"):
        check_feedback(source, tolerance=1e-8)


def test_checks_can_be_skipped_by_name() -> None:
    passed = check_feedback(Moody(), skip=["determinism", "order", "batch", "copies"])
    assert passed == list(CHECKS)[:-4]
    with pytest.raises(ValueError, match=re.escape("there is no check 'speed' to skip; the checks are scale, empty_batch, ")):
        check_feedback(Sound(), skip=["speed"])


def test_a_user_can_bring_the_episodes() -> None:
    without_references = [episode for episode in example_episodes() if not episode.prompt.references]
    with pytest.raises(FeedbackError, match="ExactMatch abstained from all 9 episodes"):
        check_feedback(ExactMatch(), without_references)
    check_feedback(ExactMatch(), example_episodes()[-3:])
    with pytest.raises(ValueError, match="episodes must hold at least one episode, got none"):
        check_feedback(ExactMatch(), [])


def test_what_is_no_source_of_finished_episodes_is_refused() -> None:
    with pytest.raises(
        FeedbackError, match=re.escape("feedback Contains is a class: check an instance of it, as in check_feedback(Contains())")
    ):
        check_feedback(Contains)  # type: ignore[arg-type]
    with pytest.raises(FeedbackError, match=re.escape("feedback PaysByStep pays at each step")):
        check_feedback(PaysByStep())  # type: ignore[arg-type]


def test_checking_a_source_that_changes_episodes_leaves_the_users_own_as_they_were() -> None:
    episodes = example_episodes()
    before = copy.deepcopy(episodes)
    with pytest.raises(FeedbackError, match="changed episode 0"):
        check_feedback(Censor(), episodes)
    for now, then in zip(episodes, before, strict=True):
        assert (now.ids.tolist(), now.response, now.ending) == (then.ids.tolist(), then.response, then.ending)


def test_the_example_episodes_are_of_many_kinds() -> None:
    episodes = example_episodes()
    assert {episode.ending for episode in episodes} == set(Ending)
    assert {bool(episode.prompt.references) for episode in episodes} == {True, False}
    assert sum(not episode.response for episode in episodes) == 2
    assert all(len(episode.ids) for episode in episodes)  # an agent writes at least one token
    assert [episode.index for episode in episodes] == list(range(12))
    assert all(episode.ids.dtype == np.int64 and episode.is_action.shape == episode.ids.shape for episode in episodes)
