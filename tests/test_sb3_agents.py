"""Hold Stable-Baselines3's algorithms to our protocol, and our agents to its `predict`."""

from __future__ import annotations

import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from agents import CausalLMPolicy, CausalPolicy, Frozen, SB3Agent, TextGenVecEnv, Uniform, as_sb3, collect, evaluate
from agents.agent import Agent
from agents.learning.checkpoint import restore, save
from agents.stable_baselines.sb3_agent import states_of
from tests.tiny_sb3 import END, HORIZON, OnlyWithC, small_env, small_options, write_model

pytestmark = pytest.mark.draws_globally  # Stable-Baselines3 seeds and shuffles with the global generators
DISABLED = gym.vector.AutoresetMode.DISABLED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def rows_env(num_envs=8, **options):
    return gym.make_vec("TextGen-v0", num_envs=num_envs, autoreset_mode=DISABLED, **small_options(**options))


def language_agent(folder, kind=PPO, kl_weight=0.0, **options):
    algorithm = kind(
        CausalLMPolicy,
        small_env(),
        n_steps=64,
        gamma=1.0,
        seed=0,
        device="cpu",
        policy_kwargs={"model": folder, "device": "cpu"},
        **options,
    )
    return SB3Agent(algorithm, kl_weight=kl_weight)


def network_agent(kind, env=None, **options):
    return SB3Agent(kind("MultiInputPolicy", env or small_env(), seed=0, device="cpu", **options))


def make_agents(folder):
    return {
        "ppo": language_agent(folder),
        "mlp": network_agent(PPO, n_steps=8),
        "dqn": network_agent(DQN),
    }


@pytest.mark.parametrize("name", ["ppo", "mlp", "dqn"])
def test_an_algorithm_collects_as_an_agent(folder, name):
    agent = make_agents(folder)[name]
    assert isinstance(agent, Agent)
    one, again = (collect(rows_env(), agent, 24, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.tokens, again.tokens)
    assert one.values is not None and one.values[one.is_action].shape == one.logprobs[one.is_action].shape
    if name == "dqn":
        assert (one.logprobs == 0).all()
        return
    states = states_of(one, *np.nonzero(one.is_action), agent.algorithm.observation_space, END)
    tensors = {name: torch.from_numpy(values) for name, values in states.items()}
    values, logprobs, _ = agent.algorithm.policy.evaluate_actions(tensors, torch.from_numpy(one.actions[one.is_action]))
    np.testing.assert_allclose(one.logprobs[one.is_action], logprobs.detach().numpy(), atol=3e-6)
    np.testing.assert_allclose(one.values[one.is_action], values.detach().numpy().reshape(-1), atol=3e-6)


@pytest.mark.parametrize("name", ["ppo", "mlp", "dqn"])
def test_only_allowed_tokens_are_chosen_and_scored_among_themselves(folder, name):
    agent = make_agents(folder)[name]
    rollout = collect(rows_env(min_new_tokens=HORIZON), agent, 16, seed=0)
    assert (rollout.lengths == HORIZON).all() and not (rollout.actions[:, : HORIZON - 1] == END).any()
    if name == "mlp":
        assert rollout.logprobs[rollout.is_action].mean() == pytest.approx(np.log(1 / 3), abs=0.1)  # of three tokens; an untrained network


def test_states_are_what_the_environment_showed(folder):
    class Seen(Uniform):
        def __init__(self):
            super().__init__(4)
            self.states = []

        def act(self, observation, memory, fresh, active, action_mask=None):
            self.states += [{name: values[row].tobytes() for name, values in observation.items()} for row in np.flatnonzero(active)]
            return super().act(observation, memory, fresh, active, action_mask)

    agent, env = Seen(), rows_env(1)
    rollout = collect(env, agent, 6, seed=0)
    states = states_of(rollout, *np.nonzero(rollout.is_action), env.single_observation_space, END)
    made = [{name: values[place].tobytes() for name, values in states.items()} for place in range(len(agent.states))]
    padding = env.single_observation_space["input_ids"].shape
    assert made == agent.states and len(states["input_ids"]) == len(agent.states) and states["input_ids"].shape[1:] == padding


def test_an_update_is_the_algorithms_own_step_on_the_same_states(folder):
    """What `learn` collects and what `update` is given make the same step, where they are the same episodes."""
    agent, copy = language_agent(folder, A2C), language_agent(folder, A2C)
    rollout = collect(rows_env(), agent, 32, seed=0)
    agent.update(rollout)
    states = states_of(rollout, *np.nonzero(rollout.is_action), copy.algorithm.observation_space, END)
    actions = torch.from_numpy(rollout.actions[rollout.is_action])
    values, logprobs, _ = copy.algorithm.policy.evaluate_actions({name: torch.from_numpy(array) for name, array in states.items()}, actions)
    returns = torch.from_numpy(np.repeat(rollout.scores, rollout.lengths)).float()  # discount 1, mixing 1: what the episode earned
    loss = -((returns - values.detach()[:, 0]) * logprobs).mean() + 0.5 * (returns - values[:, 0]).square().mean()
    policy = copy.algorithm.policy
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
    policy.optimizer.step()
    for ours, theirs in zip(agent.algorithm.policy.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    assert not torch.equal(agent.algorithm.policy.value_head.output.bias, torch.zeros(1))


def test_the_first_minibatch_of_an_update_has_ratio_1(folder):
    agent = language_agent(folder, learning_rate=0.0, batch_size=512, n_epochs=1)
    metrics = agent.update(collect(rows_env(), agent, 32, seed=0))
    assert metrics["train/clip_fraction"] == 0 and abs(metrics["train/approx_kl"]) < 1e-6
    assert metrics["kl_nats_per_response"] == pytest.approx(0, abs=1e-5)


class Buffers(PPO):
    """Keep the rollout buffer that was trained on, instead of training."""

    def train(self):
        self.seen = self.rollout_buffer


def test_an_update_charges_for_drift_and_reports_the_raw_score(folder):
    agent = language_agent(folder, Buffers, kl_weight=0.5)
    with torch.no_grad():
        agent.policy.model.get_output_embeddings().weight.add_(torch.linspace(-1, 1, 4)[:, None] * 0.2)
    agent.policy.updated()
    rollout = collect(rows_env(), agent, 32, seed=0)
    metrics = agent.update(rollout)
    reference = agent.policy.reference_logprobs(rollout.tokens, rollout.prompt_lengths, rollout.is_action).double().numpy()
    drift = (rollout.logprobs - reference)[rollout.is_action]
    assert np.abs(drift).max() > 0.05
    np.testing.assert_allclose(agent.algorithm.seen.rewards[:, 0], rollout.rewards[rollout.is_action] - 0.5 * drift, atol=1e-6)
    assert metrics["score"] == rollout.scores.mean() and metrics["kl_nats_per_response"] == pytest.approx(drift.sum() / 32, abs=1e-6)


def test_episodes_in_the_buffer_are_apart_and_cut_ones_are_worth_their_value(folder):
    agent = language_agent(folder, Buffers, gae_lambda=1.0)
    rollout = collect(rows_env(), agent, 12, seed=0)
    cut = np.arange(12) == 5
    rollout = replace(rollout, is_truncated=cut, is_scored=~cut, bootstrap=np.where(cut, 0.6, 0.0))
    agent.update(rollout)
    buffer = agent.algorithm.seen
    lengths = rollout.lengths
    assert np.flatnonzero(buffer.episode_starts[:, 0]).tolist() == [0, *np.cumsum(lengths)[:-1].tolist()]
    worth = np.where(cut, rollout.rewards.sum(axis=1) + 0.6, rollout.scores)
    np.testing.assert_allclose(buffer.returns[:, 0], np.repeat(worth, lengths), atol=1e-6)


def test_abstentions_are_left_out_of_an_update(folder):
    agent = language_agent(folder, Buffers)
    rollout = collect(rows_env(feedback=OnlyWithC()), agent, 32, seed=0)
    assert 0 < rollout.is_scored.sum() < 32
    agent.update(rollout)
    assert agent.algorithm.seen.buffer_size == rollout.lengths[rollout.is_scored].sum()
    nothing = replace(rollout, is_scored=np.zeros(32, dtype=bool))
    assert agent.update(nothing)["skipped"] == 1.0


def test_an_off_policy_algorithm_learns_by_its_own_loop_only():
    agent = network_agent(DQN)
    with pytest.raises(ValueError, match=r"DQN does not learn from whole rollouts: call its learn\(\) on a TextGenVecEnv"):
        agent.update(collect(rows_env(), agent, 8, seed=0))
    with pytest.raises(ValueError, match="needs CausalLMPolicy with a reference, got MultiInputActorCriticPolicy"):
        SB3Agent(PPO("MultiInputPolicy", small_env(), n_steps=8, device="cpu"), kl_weight=0.1)


@pytest.mark.parametrize("name", ["ppo", "mlp"])
def test_an_agent_that_was_saved_goes_on_as_it_would_have(folder, name, tmp_path):
    env = rows_env()

    def learn(agent, seeds):
        for seed in seeds:
            rollout = collect(env, agent, 16, seed=seed)
            np.random.seed(seed)  # what Stable-Baselines3 shuffles with
            agent.update(rollout)
        return torch.cat([parameter.detach().flatten() for parameter in agent.algorithm.policy.parameters()])

    agent, fresh = make_agents(folder)[name], make_agents(folder)[name]
    learn(agent, [0, 1])
    save(agent, tmp_path / "saved")
    expected = learn(agent, [2])
    restore(fresh, tmp_path / "saved")
    torch.testing.assert_close(learn(fresh, [2]), expected, atol=1e-6, rtol=0)


def test_it_is_evaluated_as_every_agent(folder):
    metrics, _ = evaluate(rows_env(), language_agent(folder), 16)
    assert {"score", "kl_nats_per_response", "reference_logprob_per_token"} <= set(metrics)
    assert metrics["kl_nats_per_response"] == pytest.approx(0, abs=1e-4)


def test_dqn_learns_a_tiny_task():
    env = VecMonitor(small_env(8))
    model = DQN(
        "MultiInputPolicy",
        env,
        learning_rate=2e-3,
        learning_starts=400,
        buffer_size=20_000,
        batch_size=128,
        gamma=1.0,
        train_freq=4,
        target_update_interval=200,
        exploration_fraction=0.6,
        seed=0,
        device="cpu",
    )
    model.learn(12_000)
    score = evaluate(rows_env(), SB3Agent(model), 16)[0]["score"]
    assert score > 0.7  # the best is 1; a uniform policy has about 0.17


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_exact_tasks_are_trained_on_by_name(kind):
    env = TextGenVecEnv("TextGen/Exact-v0", 4, rule="copy")
    options = {"n_steps": 8, "batch_size": 32} if kind is PPO else {"learning_starts": 16, "buffer_size": 100}
    model = kind("MultiInputPolicy", env, seed=0, device="cpu", **options).learn(64)
    rows = gym.make_vec("TextGen/Exact-v0", num_envs=4, rule="copy", autoreset_mode=DISABLED)
    assert 0 <= evaluate(rows, SB3Agent(model), 8)[0]["score"] <= 1


def test_evaluate_policy_of_one_of_our_agents_is_its_own_evaluation(folder):
    agent = Frozen(CausalPolicy(folder, device="cpu"))
    env = VecMonitor(small_env(4))
    env.seed(0)
    scores, lengths = evaluate_policy(as_sb3(agent, seed=1), env, n_eval_episodes=200, deterministic=False, return_episode_rewards=True)
    rollout = collect(rows_env(), agent, 200, seed=0)
    error = np.hypot(np.std(scores), rollout.scores.std()) / np.sqrt(200)
    assert abs(np.mean(scores) - rollout.scores.mean()) < 4 * error
    assert abs(np.mean(lengths) - rollout.lengths.mean()) < 0.5
    env.seed(0)
    again = evaluate_policy(as_sb3(agent, seed=1), env, n_eval_episodes=200, deterministic=False, return_episode_rewards=True)
    assert again[0] == scores
    greedy = evaluate_policy(as_sb3(agent), env, n_eval_episodes=8, deterministic=True, return_episode_rewards=True)
    assert len(set(greedy[0])) <= 2  # one response for each of the two prompts
    assert agent.policy.temperature == 1.0


def test_the_state_of_a_prediction_is_the_memory_of_the_agent(folder):
    """Tokens of the adapter are those of `act` with the same memory, and every token is fed once."""
    agent = Frozen(CausalPolicy(folder, device="cpu"))
    fed = []
    hook = agent.policy._sampler.model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    predictor, env = as_sb3(agent, seed=7), small_env(3, min_new_tokens=HORIZON)
    env.seed(0)
    observation, state, starts, memory = env.reset(), None, np.ones(3, dtype=bool), agent.start(3, 7)
    for step in range(2 * HORIZON):
        masks = np.stack(env.env_method("action_masks"))
        tokens, state = predictor.predict(observation, state, starts, action_masks=masks)
        cost = sum(fed)
        expected = agent.act(observation, memory, starts, np.ones(3, dtype=bool), masks)
        np.testing.assert_array_equal(tokens, expected.tokens)
        assert step % HORIZON == 0 or cost == 3
        fed.clear()
        observation, _, starts, _ = env.step(tokens)
    hook.remove()


def test_a_single_environment_is_one_row(folder):
    agent = Frozen(CausalPolicy(folder, device="cpu"))
    env = gym.make("TextGen-v0", **small_options())
    observation, _ = env.reset(seed=0)
    tokens, state = as_sb3(agent, seed=0).predict(observation)
    assert tokens.shape == () and 0 <= tokens < 4 and state is not None
    mean, _ = evaluate_policy(as_sb3(agent, seed=0), env, n_eval_episodes=5, deterministic=True, warn=False)
    assert 0 <= mean <= 1


def test_masks_hold_where_stable_baselines_does_not_ask_for_them(folder):
    agent = Frozen(CausalPolicy(folder, device="cpu"))
    env = VecMonitor(small_env(4, min_new_tokens=3))
    _, lengths = evaluate_policy(as_sb3(agent, env), env, n_eval_episodes=40, deterministic=False, return_episode_rewards=True)
    assert min(lengths) >= 3
    with pytest.raises(ValueError, match="is masked"):
        evaluate_policy(as_sb3(agent), env, n_eval_episodes=40, deterministic=False)


def test_an_agent_without_a_temperature_cannot_be_greedy():
    with pytest.raises(ValueError, match="Uniform has no temperature, so it only draws: pass deterministic=False"):
        evaluate_policy(as_sb3(Uniform(4)), VecMonitor(small_env(2)), n_eval_episodes=2)
    mean, _ = evaluate_policy(as_sb3(Uniform(4)), VecMonitor(small_env(2)), n_eval_episodes=20, deterministic=False)
    assert 0 < mean < 0.6


def test_without_sb3_contrib_the_message_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    env = small_env(2, min_new_tokens=1)
    env.reset()
    with pytest.raises(ValueError, match="MaskablePPO from sb3_contrib, which is not installed: pip install sb3-contrib"):
        env.step(np.full(2, END))


class Scores(BaseCallback):
    """Keep the score of every episode."""

    def __init__(self):
        super().__init__()
        self.scores = []

    def _on_step(self):
        self.scores.extend(info["score"] for info in self.locals["infos"] if info)
        return True


def test_maskable_ppo_learns_with_the_language_model_and_keeps_to_the_masks(folder):
    contrib = pytest.importorskip("sb3_contrib")
    env = VecMonitor(small_env(32, min_new_tokens=2))
    model = contrib.MaskablePPO(
        CausalLMPolicy,
        env,
        n_steps=8,
        batch_size=128,
        n_epochs=2,
        learning_rate=3e-3,
        gamma=1.0,
        seed=0,
        device="cpu",
        policy_kwargs={"model": folder, "device": "cpu", "critic_rate": 3.0},
    )
    scores = Scores()
    model.learn(32 * 8 * 10, callback=scores)
    assert np.mean(scores.scores[:32]) < 0.25 and np.mean(scores.scores[-64:]) > 0.7
    observation = env.reset()
    tokens, _ = model.predict(observation, deterministic=True, action_masks=np.stack(env.env_method("action_masks")))
    assert (tokens != END).all()


def test_maskable_ppo_learns_among_2000_tokens_of_which_a_mask_allows_few(tmp_path):
    contrib = pytest.importorskip("sb3_contrib")
    large = write_model(tmp_path / "model", vocab_size=2000)
    env = VecMonitor(small_env(32, words=2000, allowed_tokens=[0, 1, 2, 4, 5, 1999]))
    model = contrib.MaskablePPO(
        CausalLMPolicy,
        env,
        n_steps=8,
        batch_size=256,
        n_epochs=4,
        learning_rate=3e-3,
        gamma=1.0,
        seed=0,
        device="cpu",
        policy_kwargs={"model": large, "device": "cpu", "critic_rate": 3.0},
    )
    scores = Scores()
    model.learn(32 * 8 * 8, callback=scores)
    assert np.mean(scores.scores[-64:]) > np.mean(scores.scores[:64]) + 0.3
    assert model.rollout_buffer.action_masks.nbytes == 4 * 8 * 32 * 2000  # float32: steps x rows x vocabulary


def test_maskable_ppo_finds_ratio_1_under_masks(folder):
    contrib = pytest.importorskip("sb3_contrib")
    agent = language_agent(folder, contrib.MaskablePPO, learning_rate=0.0, batch_size=512, n_epochs=1, kl_weight=0.1)
    rollout = collect(rows_env(min_new_tokens=2), agent, 32, seed=0)
    metrics = agent.update(rollout)
    assert metrics["train/clip_fraction"] == 0 and abs(metrics["train/approx_kl"]) < 1e-6
    model = agent.algorithm
    model.set_env(small_env(min_new_tokens=2))
    model.learn(512)
    assert model.logger.name_to_value["train/clip_fraction"] == 0 and abs(model.logger.name_to_value["train/approx_kl"]) < 1e-6


def test_recurrent_ppo_runs_and_is_evaluated(folder):
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.RecurrentPPO("MultiInputLstmPolicy", small_env(8), n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    one, again = (collect(rows_env(), SB3Agent(model), 16, seed=0) for _ in range(2))
    np.testing.assert_array_equal(one.tokens, again.tokens)
    assert 0 <= one.scores.mean() <= 1
