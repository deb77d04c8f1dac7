"""Train on scores that come late: each in its own episode, each episode once, whole groups, nothing old, and no waiting for anybody."""

from __future__ import annotations

import threading
import time
from itertools import count

import numpy as np
import pytest

from agents import RLOO, Frozen, Reinforce, ReinforceConfig, RLOOConfig, Rollout, collect, train
from agents.learning.late import LateFeedback, LateRollouts, late_source, scored
from feedback import Asynchronous, HumanFeedback
from feedback.simulated.annotator import Annotator
from feedback.simulated.choices import Thurstone
from feedback.simulated.study_rater import SimulatedRater
from feedback.study.queueing import Mixing, Queue
from feedback.study.store import Store
from tests.exact_task import make_env
from tests.exact_task import table_policy as table_of
from text_env.episode import Judgement


def table_policy():
    return table_of(np.zeros((13, 3)))


class Mailbox:
    """Judge late, in an order and at a time that the test decides: a response is worth its tokens read as digits."""

    low, high, unit = 0.0, 1000.0, "points"
    poll = 0.001

    def __init__(self, answer=lambda waiting: waiting, most_waiting=64, max_age=100):
        self.answer, self.most_waiting, self.max_age = answer, most_waiting, max_age
        self.waiting, self.given_up, self.writers = [], [], []

    def __call__(self, episodes):
        self.waiting += episodes
        self.writers += [self.writer] * len(episodes)
        return [None] * len(episodes)

    def write_as(self, policy, version):
        self.writer = (policy, version)

    def settled(self):
        chosen = self.answer(self.waiting)
        self.waiting = [episode for episode in self.waiting if not any(episode is other for other in chosen)]
        return [(episode, Judgement(worth(episode))) for episode in chosen]

    def give_up(self, episodes):
        self.given_up += episodes
        self.waiting = [episode for episode in self.waiting if not any(episode is other for other in episodes)]


def worth(episode):
    return float(sum((token + 1) * 10**place for place, token in enumerate(episode.ids.tolist())))


def late(source, agent=None, **options):
    return LateRollouts(make_env(source, **options), agent or Frozen(table_policy()), source)


def assert_each_score_is_its_own(rollout):
    for row, episode in enumerate(rollout.episodes):
        assert rollout.is_scored[row] and rollout.scores[row] == worth(episode)
        columns = np.flatnonzero(rollout.is_action[row])
        assert rollout.actions[row, columns].tolist() == episode.ids.tolist()
        expected = np.zeros(rollout.is_action.shape[1])
        expected[columns[-1]] = worth(episode)
        np.testing.assert_array_equal(rollout.rewards[row], expected)


def test_each_late_score_is_put_where_its_episode_is_and_each_episode_is_used_once():
    generator = np.random.default_rng(0)

    def some(waiting):
        chosen = generator.permutation(len(waiting))[: len(waiting) // 3]
        return [waiting[place] for place in chosen]

    rollouts, seeds, seen = late(Mailbox(some)), count(), []
    for _ in range(12):
        rollout = rollouts.next(8, seeds)
        assert len(rollout) >= 8
        assert_each_score_is_its_own(rollout)
        seen += [id(episode) for episode in rollout.episodes] + [rollout]  # the rollouts are kept, so that no identity is used again
    identities = [entry for entry in seen if isinstance(entry, int)]
    assert len(set(identities)) == len(identities)


def test_an_answer_that_comes_twice_or_to_nothing_is_ignored():
    source = Mailbox()
    rollouts = late(source)
    first = rollouts.next(8, count())
    doubled = list(first.episodes)
    source.settled = lambda: [(episode, Judgement(-1.0)) for episode in doubled]
    rollouts._patch()
    assert_each_score_is_its_own(first)
    assert rollouts.num_waiting == 0


def test_a_group_is_learned_from_as_a_whole():
    source = Mailbox(lambda waiting: waiting[::3])  # never a whole group of four at first
    rollouts, seeds = late(source, group_size=4), count()
    for _ in range(6):
        rollout = rollouts.next(8, seeds)
        sizes = np.unique(rollout.group, return_counts=True)[1]
        assert (sizes == 4).all()
        for group in np.unique(rollout.group):
            assert len(set(rollout.prompt_index[rollout.group == group])) == 1


def test_writing_goes_on_until_enough_wait_and_then_stops():
    source = Mailbox(lambda waiting: [], most_waiting=24)
    rollouts = late(source)

    def answer(waiting):
        if len(waiting) < 24:
            return []
        answer.calls += 1
        return waiting[:8] if answer.calls == 5 else []

    answer.calls, source.answer = 0, answer
    assert len(rollouts.next(8, count())) == 8
    assert rollouts.num_waiting == 16  # three rollouts of 8 were written, and no fourth while 24 waited


def test_twice_what_an_update_learns_from_may_wait_where_nothing_else_is_said():
    source = Mailbox(lambda waiting: waiting[:8] if len(waiting) >= 16 else [], most_waiting=None)
    rollouts = late(source)
    assert len(rollouts.next(8, count())) == 8
    assert rollouts.num_waiting == 8  # two rollouts of 8 were written, and no third while 16 waited


def test_what_was_written_too_many_updates_ago_is_given_up():
    source = Mailbox(lambda waiting: waiting[8:16], max_age=1)  # the first eight are never answered
    policy = table_policy()
    rollouts = late(source, Frozen(policy))
    rollouts.next(8, count())
    first = list(source.waiting[:8])
    policy.updated()
    rollouts.next(8, count(10))
    assert source.given_up == []
    policy.updated()
    rollouts.next(8, count(20))
    assert {id(episode) for episode in first} <= {id(episode) for episode in source.given_up}
    assert rollouts.num_given_up == len(source.given_up)


def test_the_version_that_wrote_a_response_goes_with_its_question_and_its_age_is_reported():
    policy = table_policy()
    source = Mailbox(lambda waiting: [episode for episode in waiting if len(waiting) > 8][:8])
    rollouts = late(source, Frozen(policy))
    rollouts.name = "Frozen"
    rollouts.next(8, count())
    policy.updated()
    rollout = rollouts.next(8, count(10))
    assert source.writers[:16] == [("Frozen", 0)] * 16 and source.writers[16:] == [("Frozen", 1)] * 8
    assert rollout.version == 0 and rollouts.metrics()["age_updates"] == 1.0


def test_an_abstention_frees_the_episode_and_scores_nothing():
    source = Mailbox()
    rollouts = late(source)
    source.settled = lambda: [(episode, Judgement(None)) for episode in source.waiting]
    rollout = rollouts.next(8, count())
    assert not rollout.is_scored.any() and not rollout.rewards.any()


def test_more_answers_than_may_wait_cannot_be_asked_for():
    with pytest.raises(ValueError, match="an update needs 16 judged responses, but only 8 may wait"):
        late(Mailbox(most_waiting=8)).next(16, count())


def test_token_scores_go_to_the_tokens_that_earned_them():
    rollout = collect(make_env(lambda episodes: [None] * len(episodes)), Frozen(table_policy()), 4, seed=0)
    row = int(np.argmax(rollout.lengths))
    scores = np.arange(1.0, rollout.lengths[row] + 1)
    patched = scored(rollout, [(row, Judgement(float(scores.sum()), token_scores=scores))])
    np.testing.assert_array_equal(patched.rewards[row, : len(scores)], scores)
    assert not rollout.rewards.any()  # the rollout that was given is as it was


def test_joined_rollouts_hold_the_episodes_of_their_parts():
    env = make_env(lambda episodes: [float(len(episode.ids)) for episode in episodes], group_size=2)
    parts = [collect(env, Frozen(table_policy()), size, seed=seed).trimmed() for seed, size in enumerate((4, 8, 2))]
    joined = Rollout.joined(parts)
    starts = np.cumsum([0, 4, 8])
    for start, part in zip(starts, parts, strict=True):
        same = joined.take(np.arange(start, start + len(part)))
        assert same.episodes == part.episodes
        for name in ("tokens", "actions", "is_action", "logprobs", "rewards", "scores", "prompt_lengths"):
            given, found = getattr(part, name), getattr(same, name)
            np.testing.assert_array_equal(found[..., : given.shape[-1]] if given.ndim == 2 else found, given)
            assert given.ndim == 1 or not found[:, given.shape[1] :].any()
    assert len(np.unique(joined.group)) == 7
    with pytest.raises(ValueError, match="at least one rollout"):
        Rollout.joined([])


def test_masks_of_joined_rollouts_stay_those_of_their_rows():
    parts = []
    for banned in (0, 1):
        env = make_env(lambda episodes: [0.0] * len(episodes), banned_tokens=[banned])
        parts.append(collect(env, Frozen(table_policy()), 4, seed=0))
    joined = Rollout.joined(parts)
    allowed = joined.masks.table[joined.masks.index]
    assert not allowed[:4][joined.is_action[:4]][:, 0].any() and not allowed[4:][joined.is_action[4:]][:, 1].any()
    with pytest.raises(ValueError, match="cannot be joined"):
        Rollout.joined([parts[0], collect(make_env(lambda episodes: [0.0] * len(episodes)), Frozen(table_policy()), 4, seed=0)])


def test_only_a_source_that_judges_late_is_trained_on_late():
    assert isinstance(Mailbox(), LateFeedback)
    assert late_source(make_env(Mailbox())) is not None
    assert late_source(make_env(lambda episodes: [0.0] * len(episodes))) is None


def test_an_agent_learns_from_late_scores_what_it_learns_from_prompt_ones():
    def prompt(episodes):
        return [float(episode.ids.tolist().count(1)) for episode in episodes]

    class Late(Mailbox):
        def settled(self):
            return [(episode, Judgement(float(episode.ids.tolist().count(1)))) for episode, _ in super().settled()]

    def run(source):
        agent = Reinforce(table_policy(), ReinforceConfig(learning_rate=0.1))
        train(make_env(source), agent, 6, 8, keep=False, show=False, seed=4)
        return agent.policy.logits.detach().numpy()

    np.testing.assert_array_equal(run(Late()), run(prompt))  # answered at once, late is the same


def test_an_agent_learns_while_people_answer_in_their_own_time(tmp_path):
    def count_b(prompt, response):
        return min(response.split().count("b"), 3) / 3

    from feedback import text_feedback

    source = Asynchronous(HumanFeedback(tmp_path / "study.db", "compare"), most_waiting=48, poll=0.01)
    env = make_env(source, num_envs=8, group_size=4, scoring="deferred")
    agent = RLOO(table_policy(), RLOOConfig(learning_rate=0.3, kl_weight=0.0))
    done = threading.Event()

    def people():
        rater = SimulatedRater(text_feedback(count_b, low=0, high=1), Annotator(choice=Thurstone(0.2)))
        with Store(tmp_path / "study.db") as store:
            queue, persons = Queue(store, mixing=Mixing(0, 0, 0)), [store.enrol(name) for name in ("ann", "bob")]
            while not done.is_set():
                if not sum(rater.answer_all(queue, person, limit=3) for person in persons):
                    time.sleep(0.005)

    def truth():
        rollout = collect(make_env(text_feedback(count_b, low=0, high=1)), agent, 64, seed=9)
        return float(rollout.scores.mean())

    before = truth()
    answering = threading.Thread(target=people, daemon=True)
    answering.start()
    try:
        trained = train(env, agent, 12, 16, keep=False, show=False, seed=1)
    finally:
        done.set()
        answering.join(timeout=20)
    assert truth() > before + 0.15
    assert max(line["age_updates"] for line in trained.metrics) > 0  # it learned from what earlier versions had written
    assert all(line["num_waiting"] <= 48 for line in trained.metrics)
