"""Check that collect starts, finishes and records exactly what the environment and the agent did."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import CausalPolicy, Reinforce, Rollout, TabularPolicy, Uniform, collect
from tests.exact_task import Script, make_env, table_policy, tokenizer
from tests.test_learning_exact import tiny_llama
from tests.tiny_sources import DISABLED, NEXT_STEP, SAME_STEP, Critic, Length, LengthRank, NoOpinionOnShort, Vowels, make, make_vec
from text_env import Ending, Judgement
from text_env.tokens import load_tokens


class Spy(Uniform):
    """Write at random, keep what it was asked, and expect a return that tells the state: the sum of its tokens."""

    def __init__(self, vocab_size=257, end_share=0.2):
        super().__init__(vocab_size)
        self.end_share = end_share
        self.asked = []

    def act(self, observation, memory, fresh, active, action_mask=None):
        self.asked.append((fresh.copy(), active.copy()))
        decision = super().act(observation, memory, fresh, active, action_mask)
        ends = active & (memory.random(len(active)) < self.end_share)
        tokens = np.where(ends, 256, decision.tokens) if self.vocab_size == 257 else decision.tokens
        values = (observation["input_ids"] * observation["attention_mask"]).sum(axis=1)
        return decision._replace(tokens=tokens, values=np.where(active, values, 0).astype(np.float32))


def disabled(num_envs=3, **options):
    return make_vec(num_envs, autoreset_mode=DISABLED, **options)


@pytest.mark.parametrize(("num_rows", "num_episodes"), [(3, 10), (8, 5), (4, 4), (1, 3)])
def test_exactly_the_episodes_that_were_started_are_finished(num_rows, num_episodes):
    source = Length()
    rollout = collect(disabled(num_rows, feedback=source), Spy(), num_episodes, seed=0)
    assert len(rollout) == num_episodes
    assert sorted(episode.index for call in source.calls for episode in call) == list(range(num_episodes))
    np.testing.assert_array_equal(rollout.episode_index, np.arange(num_episodes))


def test_short_responses_are_not_favoured():
    """The first to start count, not the first to finish."""
    rollout = collect(disabled(4, feedback=Length(), max_new_tokens=40), Spy(end_share=0.1), 400, seed=0)
    lengths = rollout.lengths
    expected = sum(0.9**k for k in range(40))  # mean length of a geometric distribution cut at 40
    assert lengths.mean() == pytest.approx(expected, abs=4 * lengths.std() / 20)


def test_a_rollout_holds_what_was_written_and_paid():
    source = Length()
    rollout = collect(disabled(3, feedback=source, prompts=["abc", "x"]), Spy(), 12, seed=3)
    written = {episode.index: episode for call in source.calls for episode in call}
    for row in range(12):
        episode, count = written[row], rollout.lengths[row]
        assert rollout.episodes[row] is episode
        np.testing.assert_array_equal(rollout.actions[row, :count], episode.ids)
        whole = np.concatenate([episode.prompt.ids, episode.ids])
        np.testing.assert_array_equal(rollout.tokens[row, : len(whole)], whole)
        assert rollout.prompt_lengths[row] == len(episode.prompt.ids)
        assert rollout.endings[row] == episode.ending
        np.testing.assert_array_equal(np.flatnonzero(rollout.rewards[row]), [count - 1])
        assert rollout.rewards[row, count - 1] == rollout.scores[row] == count
        assert not rollout.is_action[row, count:].any()
        np.testing.assert_allclose(rollout.values[row, :count], [whole[: len(whole) - count + t].sum() for t in range(count)])
    assert {Ending.EOS, Ending.LENGTH} == set(rollout.endings)


def test_the_reward_lies_on_the_end_token_even_where_it_equals_the_padding():
    rollout = collect(disabled(2, feedback=Length()), Spy(end_share=1.0), 4, seed=0)
    assert (rollout.actions[:, 0] == 256).all()
    assert (rollout.is_action[:, 0]).all()
    assert (rollout.rewards[:, 0] == 1).all()


@pytest.mark.parametrize("refill", [0.0, 0.25, 1.0])
def test_rows_that_are_parked_are_not_asked_and_wait_for_company(refill):
    agent = Spy()
    collect(disabled(8, feedback=Length()), agent, 40, seed=0, refill=refill)
    for (_, active), (fresh, active_next) in zip(agent.asked, agent.asked[1:], strict=False):
        assert not (fresh & ~active_next).any()
        assert (active_next <= (active | fresh)).all()
        if fresh.any() and active_next.sum() == 8:
            assert fresh.sum() >= max(1, refill * 8)
    assert any((~active).any() for _, active in agent.asked)


def test_rows_are_started_again_at_once_where_nothing_is_to_wait_for():
    agent = Spy()
    collect(disabled(8, feedback=Length()), agent, 100, seed=0, refill=0.0)
    before_the_last = [active for fresh, active in agent.asked[: np.flatnonzero([fresh.any() for fresh, _ in agent.asked])[-1]]]
    assert all(active.all() for active in before_the_last)


def test_a_seed_decides_a_rollout_and_disturbs_nothing_else():
    env, agent = disabled(3, prompts=["abc", "x", "yz"]), Spy()
    one, two = (collect(env, agent, 9, seed=5) for _ in range(2))
    other = collect(env, agent, 9, seed=6)
    np.testing.assert_array_equal(one.tokens, two.tokens)
    assert one.tokens.shape != other.tokens.shape or (one.tokens != other.tokens).any()


def test_without_a_seed_a_rollout_goes_on_where_the_last_one_ended():
    env, agent = disabled(3, prompts=["abc", "x", "yz"]), Spy()
    one, two = collect(env, agent, 4, seed=5), collect(env, agent, 4)
    assert one.tokens.shape != two.tokens.shape or (one.tokens != two.tokens).any()
    np.testing.assert_array_equal(two.episode_index, np.arange(4, 8))


def test_what_somebody_else_began_is_left_alone():
    env = disabled(4, feedback=(source := Length()))
    env.reset(seed=1)
    env.step(np.full(4, 65))
    rollout = collect(env, Spy(), 2)
    assert sum(len(call) for call in source.calls) == len(rollout) == 2


def test_a_single_environment_is_a_vector_of_one_row():
    single = collect(make(prompts=["abc", "x"]), Spy(), 6, seed=2)
    vector = collect(disabled(1, prompts=["abc", "x"]), Spy(), 6, seed=2)
    for name in ("tokens", "is_action", "rewards", "scores", "prompt_index", "episode_index", "values"):
        np.testing.assert_array_equal(getattr(single, name), getattr(vector, name))


def test_rewards_are_those_of_the_outermost_wrapper_and_scores_those_of_the_feedback():
    env = gym.wrappers.vector.TransformReward(disabled(2, feedback=Length()), lambda rewards: 10 * rewards - 1)
    rollout = collect(env, Spy(), 4, seed=0)
    for row, count in enumerate(rollout.lengths):
        assert rollout.scores[row] == count
        np.testing.assert_array_equal(rollout.rewards[row, :count], [-1] * (count - 1) + [10 * count - 1])


def test_scores_of_single_tokens_lie_on_their_tokens():
    rollout = collect(disabled(2, feedback=Critic()), Spy(), 6, seed=0)
    expected = np.where(rollout.is_action & (rollout.actions != 256), 0.5, 0.0)
    np.testing.assert_allclose(rollout.rewards, expected, atol=1e-12)
    np.testing.assert_allclose(rollout.scores, expected.sum(axis=1))


def test_what_a_wrapper_adds_to_scores_of_single_tokens_stays_at_the_end():
    env = gym.wrappers.vector.TransformReward(disabled(2, feedback=Critic()), lambda rewards: 2 * rewards)
    rollout = collect(env, Spy(), 6, seed=0)
    np.testing.assert_allclose(rollout.rewards.sum(axis=1), 2 * rollout.scores)
    for row, count in enumerate(rollout.lengths):
        np.testing.assert_allclose(rollout.rewards[row, : count - 1], 0.5)


def test_pay_at_each_step_lies_on_its_token():
    rollout = collect(disabled(2, feedback=Vowels()), Spy(), 60, seed=0)
    expected = np.isin(rollout.actions, [ord(vowel) for vowel in "aeiou"]) & rollout.is_action
    np.testing.assert_array_equal(rollout.rewards, expected)
    np.testing.assert_array_equal(rollout.scores, expected.sum(axis=1))
    assert expected.any()


def test_deferred_scores_are_asked_for_once_and_come_to_the_right_episodes():
    immediate, deferred = Length(), Length()
    one = collect(disabled(3, feedback=immediate), Spy(), 10, seed=0)
    two = collect(disabled(3, feedback=deferred, scoring="deferred"), Spy(), 10, seed=0)
    assert len(deferred.calls) == 1
    for name in ("tokens", "rewards", "scores", "is_scored", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.endings == two.endings


def test_deferred_scores_of_single_tokens_lie_on_their_tokens():
    one, two = (collect(disabled(3, feedback=Critic(), scoring=scoring), Spy(), 6, seed=0) for scoring in ("immediate", "deferred"))
    np.testing.assert_allclose(one.rewards, two.rewards, atol=1e-12)


def test_a_source_that_compares_sees_all_episodes_together():
    rollout = collect(disabled(3, feedback=(source := LengthRank()), scoring="deferred"), Spy(), 9, seed=0)
    assert len(source.calls) == 1
    np.testing.assert_array_equal(rollout.scores, [(rollout.lengths < length).sum() for length in rollout.lengths])


def test_a_wrapper_that_changes_rewards_contradicts_deferred_scores():
    env = gym.wrappers.vector.TransformReward(disabled(2, feedback=Length(), scoring="deferred"), lambda rewards: 2 * rewards)
    with pytest.raises(ValueError, match="TransformReward has nothing to change"):
        collect(env, Spy(), 4, seed=0)


def test_an_abstention_is_no_score():
    rollout = collect(disabled(3, feedback=NoOpinionOnShort()), Spy(end_share=0.4), 20, seed=0)
    np.testing.assert_array_equal(rollout.is_scored, rollout.lengths >= 3)
    assert rollout.is_scored.any() and not rollout.is_scored.all()
    assert (rollout.scores[~rollout.is_scored] == 0).all() and (rollout.rewards[~rollout.is_scored] == 0).all()
    assert not rollout.is_truncated.any()


def test_an_abstention_that_ends_as_truncated_is_worth_what_the_agent_expects():
    rollout = collect(disabled(3, feedback=NoOpinionOnShort(), on_abstain="truncate"), Spy(end_share=0.4), 20, seed=0)
    np.testing.assert_array_equal(rollout.is_truncated, rollout.lengths < 3)
    _check_bootstrap(rollout)
    assert all(episode is not None for episode in rollout.episodes)


@pytest.mark.parametrize("kind", ["vector", "single"])
def test_an_episode_cut_from_outside_is_worth_what_the_agent_expects_of_its_last_state(kind):
    options = {"max_episode_steps": 4, "feedback": (source := Length())}
    rollout = collect(disabled(3, **options) if kind == "vector" else make(**options), Spy(), 20, seed=0)
    np.testing.assert_array_equal(rollout.is_truncated, [ending is None for ending in rollout.endings])
    assert (rollout.lengths[rollout.is_truncated] == 4).all() and rollout.is_truncated.any() and rollout.is_scored.any()
    _check_bootstrap(rollout)
    assert sum(len(call) for call in source.calls) == rollout.is_scored.sum()


def _check_bootstrap(rollout):
    last_states = np.array([rollout.tokens[row, : rollout.prompt_lengths[row] + rollout.lengths[row]].sum() for row in range(len(rollout))])
    np.testing.assert_array_equal(rollout.bootstrap, np.where(rollout.is_truncated, last_states, 0))
    assert not (rollout.is_scored & rollout.is_truncated).any()


def test_an_earlier_episode_is_not_taken_for_one_that_a_wrapper_cut():
    env = make(max_episode_steps=3)
    first = collect(env, Script([[256]]), 1, seed=0)
    second = collect(env, Script([[65] * 8]), 1, seed=0)
    assert first.is_scored.all() and not second.is_scored.any()
    assert second.endings == (None,)


def test_masks_are_recorded_as_they_were_at_each_token():
    env = make_env(Length(), min_new_tokens=2, num_envs=3)
    rollout = collect(env, Uniform(3), 12, seed=0)
    assert rollout.masks.table.shape == (2, 3)
    recorded = rollout.masks.table[rollout.masks.index]
    for row, count in enumerate(rollout.lengths):
        np.testing.assert_array_equal(recorded[row, :count], [[True, True, t >= 2] for t in range(count)])


def test_a_partners_words_are_no_actions_and_earn_nothing():
    def partner(conversations):
        return ["yes" if episode.ids[-1] == 256 and len(episode.ids) < 4 else None for episode in conversations]

    class ByToken(Critic):
        def __call__(self, episodes):
            scores = [np.arange(len(episode.ids)) + 1.0 for episode in episodes]
            return [Judgement(float(each.sum()), token_scores=each) for each in scores]

    env = disabled(2, feedback=ByToken(), partner=partner, max_new_tokens=10)
    rollout = collect(env, Script([[65, 256, 66, 67, 256], [68, 69, 70, 71, 256]]), 2, seed=0)
    np.testing.assert_array_equal(rollout.is_action, [[1, 1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]])
    assert rollout.tokens[0, 2:10].tolist() == [65, 256, *b"yes", 66, 67, 256]
    # the partner's three words are worth 3 + 4 + 5, which goes to the action before them
    np.testing.assert_allclose(rollout.rewards, [[1, 2 + 12, 0, 0, 0, 6, 7, 8], [1, 2, 3, 4, 5, 0, 0, 0]])


def test_groups_share_a_prompt_and_stay_together():
    rollout = collect(disabled(4, prompts=["a", "b", "c"], group_size=4), Spy(), 12, seed=0)
    np.testing.assert_array_equal(rollout.group, np.repeat([0, 1, 2], 4))
    assert all(len(set(rollout.prompt_index[rollout.group == group])) == 1 for group in range(3))


def test_groups_that_somebody_else_began_are_refused():
    env = disabled(3, group_size=2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="groups of 2 episodes came out with sizes"):
        collect(env, Spy(), 4)


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_an_environment_that_starts_rows_itself_is_refused_with_the_line_to_type(mode):
    with pytest.raises(ValueError, match=r'Write gym.make_vec\("TextGen-v0", num_envs=3, autoreset_mode=gym.vector.AutoresetMode.DISABLED'):
        collect(make_vec(3, autoreset_mode=mode), Spy(), 3)


def test_another_environment_is_refused_by_its_name():
    with pytest.raises(ValueError, match="collect needs a TextGen environment, got CartPoleVectorEnv"):
        collect(gym.make_vec("CartPole-v1", num_envs=2), Spy(), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_episodes": 0}, "num_episodes must be at least 1, got 0"),
        ({"num_episodes": 5}, "must be a multiple of the environment's group_size 2, got 5"),
        ({"num_episodes": 4, "refill": 1.5}, "between 0 and 1, got 1.5"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        collect(disabled(3, group_size=2), Spy(), **arguments)


def test_a_policy_with_another_tokenizer_is_refused():
    policy = table_policy(None)
    policy.tokens = load_tokens("bytes")
    with pytest.raises(ValueError, match=r"the policy's tokenizer 'bytes' and the environment's .* give the same ids other texts"):
        collect(make_env(Length()), Reinforce(policy), 2)


def test_a_policy_of_another_width_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="the policy chooses among 3 ids, the environment's action space has 4"):
        collect(make_env(Length(), vocab_size=4), Reinforce(table_policy(None)), 2)


def test_the_version_of_the_policy_is_recorded():
    policy = table_policy(None)
    policy.updated()
    assert collect(make_env(Length()), Reinforce(policy), 2).version == 1


def test_the_value_after_the_last_token_of_a_full_response_can_be_asked_for():
    """The response fills the whole width, and the policy must still say what it is worth."""

    class Silent(Length):
        def __call__(self, episodes):
            return [None for _ in episodes]

    policy = CausalPolicy(tiny_llama(), device="cpu", value_head=True)
    with torch.no_grad():
        policy.value_head.output.weight.copy_(torch.arange(1.0, 9.0)[None])
    policy.updated()
    rollout = collect(make_env(Silent(), on_abstain="truncate"), Reinforce(policy), 6, seed=0)
    full = np.pad(rollout.tokens, ((0, 0), (0, 1)))
    after = np.arange(rollout.is_action.shape[1] + 1)[None] == rollout.lengths[:, None]
    values = policy.evaluate(full, rollout.prompt_lengths, after).values.sum(1)
    np.testing.assert_allclose(rollout.bootstrap, values.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert rollout.is_truncated.all() and np.abs(rollout.bootstrap).min() > 1e-3


@pytest.fixture
def rollout() -> Rollout:
    policy = TabularPolicy(3, 3, prompts=[(0, 1)], value_head=True)
    return collect(make_env(Length(), min_new_tokens=1, num_envs=3), Reinforce(policy), 6, seed=0)


def test_rows_can_be_taken_and_padding_trimmed(rollout):
    short = np.flatnonzero(rollout.lengths < 3)[:1]
    part = rollout.take(short).trimmed()
    count = int(rollout.lengths[short[0]])
    assert part.tokens.shape == (1, 2 + count) and part.is_action.shape == part.masks.index.shape == (1, count)
    np.testing.assert_array_equal(part.actions[0], rollout.actions[short[0], :count])
    assert part.episodes == (rollout.episodes[short[0]],)


def test_a_rollout_comes_back_from_its_state_without_texts(rollout):
    again = Rollout.from_state(rollout.state())
    for name in ("tokens", "is_action", "logprobs", "values", "rewards", "scores", "group", "bootstrap"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rollout, name))
    np.testing.assert_array_equal(again.masks.index, rollout.masks.index)
    assert again.responses == [""] * 6 and again.version == rollout.version


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(5)}, r"scores must have shape \(6,\), got \(5,\)"),
        ({"values": np.zeros((6, 1))}, r"values must have shape \(6, 3\), got \(6, 1\)"),
        ({"endings": ()}, "endings must have 6 entries, got 0"),
        ({"rewards": np.ones((6, 3))}, "rewards must be zero where is_action is False"),
        ({"scores": np.full(6, np.nan)}, "must be finite"),
        ({"is_truncated": np.ones(6, dtype=bool)}, "has no score"),
        ({"tokens": np.zeros(3)}, r"tokens must be \[B, L\]"),
    ],
)
def test_a_rollout_with_wrong_shapes_or_numbers_is_refused(rollout, change, message):
    assert (~rollout.is_action).any()
    with pytest.raises(ValueError, match=message):
        replace(rollout, **change)


def test_the_tokenizer_of_the_tiny_task_has_the_words_it_should():
    assert load_tokens(tokenizer(), eos_ids=[2]).encode("a b c").tolist() == [0, 1, 2]
