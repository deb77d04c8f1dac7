"""Hold the language model as a policy of Stable-Baselines3: what it writes, what it learns from, what it saves."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from agents import CausalLMPolicy, CausalPolicy, EpisodeRolloutBuffer, KLRewards
from agents.policy.models import load_model
from agents.stable_baselines.merging import MergedActions, merge_prefixes
from tests.tiny_sb3 import HORIZON, WORDS, OnlyWithC, small_env, write_model

pytestmark = pytest.mark.draws_globally  # Stable-Baselines3 seeds and shuffles with the global generators


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def ppo(folder, env=None, kind=PPO, policy=None, **options):
    defaults = {"n_steps": 8, "batch_size": 64, "n_epochs": 1, "gamma": 1.0, "seed": 0, "device": "cpu"}
    if kind is A2C:
        defaults = {"n_steps": 8, "gamma": 1.0, "seed": 0, "device": "cpu"}
    policy_kwargs = {"model": folder, "device": "cpu", **(policy or {})}
    return kind(CausalLMPolicy, env or small_env(), policy_kwargs=policy_kwargs, **{**defaults, **options})


class Watch(BaseCallback):
    """Keep a copy of the rollout buffer at the end of each rollout."""

    def __init__(self):
        super().__init__()
        self.rollouts = []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        buffer = self.model.rollout_buffer
        names = ("actions", "rewards", "values", "log_probs", "advantages", "returns", "episode_starts")
        self.rollouts.append(
            {name: getattr(buffer, name).copy() for name in names}
            | {"observations": {name: values.copy() for name, values in buffer.observations.items()}}
        )


def flat_states(rollout):
    size = rollout["rewards"].size
    states = {name: torch.from_numpy(values.reshape(size, -1)) for name, values in rollout["observations"].items()}
    return states, torch.from_numpy(rollout["actions"].reshape(size))


def test_the_first_minibatches_find_ratio_1_and_clip_nothing(folder):
    model = ppo(folder, learning_rate=0.0, batch_size=16, n_epochs=2)
    watch = Watch()
    model.learn(64, callback=watch)
    states, actions = flat_states(watch.rollouts[0])
    values, logprobs, entropies = model.policy.evaluate_actions(states, actions)
    np.testing.assert_allclose(logprobs.detach().numpy(), watch.rollouts[0]["log_probs"].reshape(-1), atol=2e-6)
    np.testing.assert_allclose(values.detach().numpy()[:, 0], watch.rollouts[0]["values"].reshape(-1), atol=2e-6)
    assert model.logger.name_to_value["train/clip_fraction"] == 0
    assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-6
    assert entropies.min() > 0 and logprobs.std() > 0.1


def test_after_a_step_the_ratio_is_no_longer_1(folder):
    model = ppo(folder, learning_rate=1e-2, n_epochs=2)
    model.learn(64)
    assert model.logger.name_to_value["train/approx_kl"] > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_merged_states_are_scored_as_each_alone(folder, temperature):
    model = ppo(folder, policy={"temperature": temperature})
    watch = Watch()
    model.learn(64, callback=watch)
    states, actions = flat_states(watch.rollouts[0])
    values, logprobs, entropies = model.policy.evaluate_actions(states, actions)
    probabilities = model.policy.get_distribution(states).distribution
    alone = [
        model.policy.evaluate_actions({name: values[row : row + 1] for name, values in states.items()}, actions[row : row + 1])
        for row in range(len(actions))
    ]
    for place, merged in enumerate((values, logprobs, entropies)):
        torch.testing.assert_close(merged, torch.cat([one[place] for one in alone]), atol=2e-6, rtol=0)
    torch.testing.assert_close(logprobs, probabilities.log_prob(actions), atol=2e-6, rtol=0)
    torch.testing.assert_close(entropies, probabilities.entropy(), atol=2e-6, rtol=0)
    torch.testing.assert_close(model.policy.predict_values(states), values, atol=2e-6, rtol=0)


def test_merged_states_have_the_gradient_of_each_alone(folder):
    model = ppo(folder)
    watch = Watch()
    model.learn(64, callback=watch)
    states, actions = flat_states(watch.rollouts[0])
    weights = torch.linspace(-1, 1, len(actions))
    parameters = list(model.policy.language_model.parameters())

    def gradient(parts):
        model.policy.optimizer.zero_grad()
        for part in parts:
            some = {name: values[part] for name, values in states.items()}
            (weights[part] * model.policy.evaluate_actions(some, actions[part])[1]).sum().backward()
        return torch.cat([parameter.grad.flatten() for parameter in parameters])

    whole, parts = gradient([slice(None)]), gradient([slice(row, row + 1) for row in range(len(actions))])
    assert whole.norm() > 0.1
    torch.testing.assert_close(whole, parts, atol=2e-5, rtol=1e-4)


def test_a_merge_keeps_the_fewest_rows_that_hold_all():
    rng = np.random.default_rng(0)
    for _ in range(50):
        num_rows, width = rng.integers(1, 12), rng.integers(1, 5)
        ids, lengths = rng.integers(2, size=(num_rows, width)), rng.integers(1, width + 1, size=num_rows)
        texts = [tuple(row[:length]) for row, length in zip(ids.tolist(), lengths, strict=True)]
        hosts, host_of = merge_prefixes(ids, lengths)
        longest = {text for text in texts if not any(other != text and other[: len(text)] == text for other in texts)}
        assert sorted(texts[host] for host in hosts) == sorted(longest)
        for text, place in zip(texts, host_of, strict=True):
            assert texts[hosts[place]][: len(text)] == text


def test_states_of_one_episode_are_one_text_and_other_actions_another():
    ids = np.array([[5, 6, 0, 0], [5, 6, 7, 0], [5, 6, 7, 8], [5, 6, 0, 0]])
    merged = MergedActions.of(ids, np.array([2, 3, 4, 2]), np.array([7, 8, 0, 9]))
    assert sorted(merged.tokens.tolist()) == [[5, 6, 7, 8, 0], [5, 6, 9, 0, 0]]
    assert merged.is_action.sum() == 4 and merged.prompt_lengths.tolist() == [2, 2]
    assert merged.tokens[merged.rows, merged.prompt_lengths[merged.rows] + merged.columns].tolist() == [7, 8, 0, 9]


def test_what_is_cached_gives_what_a_policy_without_a_cache_gives(folder):
    """A row whose text goes on keeps its keys and values; one that begins anew, or was exchanged, does not."""
    model = ppo(folder)
    env, policy = small_env(6), model.policy
    env.seed(1)
    observation = env.reset()
    fed = []
    feeds = policy.causal._sampler.model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    for step in range(3 * HORIZON):
        if step == 6:
            observation = {name: values[::-1].copy() for name, values in observation.items()}  # the rows change places
        tensors, _ = policy.obs_to_tensor(observation)
        tokens, values, logprobs = policy.forward(tensors)
        cost = sum(fed)
        expected = policy.evaluate_actions(tensors, tokens)
        torch.testing.assert_close(values, expected[0], atol=2e-6, rtol=0)
        torch.testing.assert_close(logprobs, expected[1], atol=2e-6, rtol=0)
        if step == 6:
            observation = {name: values[::-1].copy() for name, values in observation.items()}
            tokens = tokens.flip(0)
        elif observation["response_mask"].any(axis=1).all() and step not in (0, 7):
            assert cost == 6  # one token a row
        fed.clear()
        observation = env.step(tokens.numpy())[0]
    feeds.remove()


def test_keys_and_values_of_older_weights_are_forgotten(folder):
    policy, env = ppo(folder, learning_rate=0.05).policy, small_env(4)
    observation = env.reset()
    for _ in range(2):
        states, _ = policy.obs_to_tensor(observation)
        tokens, values, logprobs = policy.forward(states)
        expected = policy.evaluate_actions(states, tokens)
        torch.testing.assert_close(logprobs, expected[1], atol=2e-6, rtol=0)
        torch.testing.assert_close(values, expected[0], atol=2e-6, rtol=0)
        (expected[1].sum() + expected[0].sum()).backward()
        policy.optimizer.step()
        observation = env.step(np.zeros(4, dtype=int))[0]


def test_the_pretrained_weights_are_as_they_were(folder):
    model = ppo(folder)
    before = load_model(folder).state_dict()
    after = model.policy.language_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    model.learn(64)
    assert not all(torch.equal(before[name], after[name]) for name in before)  # what is trained is this very model


def test_the_penalty_is_taken_once_and_the_score_stays_raw(folder):
    weight = 0.5
    plain, charged, kept = Watch(), Watch(), []

    class Scores(BaseCallback):
        def _on_step(self):
            kept.extend((info["score"], info["episode"]["r"]) for info in self.locals["infos"] if info)
            return True

    for watch, callbacks in ((plain, []), (charged, [KLRewards(weight), Scores()])):
        model = ppo(folder, VecMonitor(small_env()), policy={"temperature": 1.0})
        shift = torch.linspace(-1, 1, WORDS)[:, None]
        with torch.no_grad():
            model.policy.language_model.get_output_embeddings().weight.add_(shift * 0.2)  # away from the reference
        model.policy._weights_changed = True
        model.learn(64, callback=[*callbacks, watch])
    one, two = plain.rollouts[0], charged.rollouts[0]
    np.testing.assert_array_equal(one["actions"], two["actions"])
    states, actions = flat_states(one)
    reference = CausalPolicy(folder, device="cpu")
    expected = np.zeros(actions.shape)
    for row, (ids, mask, token) in enumerate(zip(states["input_ids"], states["attention_mask"], actions, strict=True)):
        length = int(mask.sum())
        text = torch.cat([ids[:length], token[None]])[None]
        expected[row] = reference.reference_logprobs(text, np.array([length]), np.ones((1, 1), dtype=bool))[0, 0]
    drift = one["log_probs"].reshape(-1) - expected
    assert np.abs(drift).max() > 0.02
    np.testing.assert_allclose((one["rewards"] - two["rewards"]).reshape(-1), weight * drift, atol=1e-5)
    assert all(score == reward and score * HORIZON == round(score * HORIZON) for score, reward in kept) and len(kept) > 8


def brute_advantages(rollout, last_values, dones, mixing):
    """A_t = sum over k of (gamma * mixing)^k d_{t+k} within the episode, with gamma 1."""
    rewards, values, starts = rollout["rewards"], rollout["values"], rollout["episode_starts"]
    steps, rows = rewards.shape
    result = np.zeros((steps, rows))
    for row in range(rows):
        for step in range(steps):
            weight = 1.0
            for later in range(step, steps):
                ends = dones[row] if later == steps - 1 else starts[later + 1, row]
                following = 0.0 if ends else (last_values[row] if later == steps - 1 else values[later + 1, row])
                result[step, row] += weight * (rewards[later, row] + following - values[later, row])
                weight *= mixing
                if ends:
                    break
    return result


def test_advantages_are_those_of_the_charged_rewards(folder):
    model = ppo(folder, learning_rate=0.0, gae_lambda=0.9)
    with torch.no_grad():
        model.policy.value_head.output.bias.fill_(0.3)
        model.policy.language_model.get_output_embeddings().weight.add_(torch.linspace(-1, 1, WORDS)[:, None] * 0.2)
    model.policy._weights_changed = True
    watch = Watch()
    model.learn(64, callback=[KLRewards(0.5), watch])
    rollout = watch.rollouts[0]
    last = model.policy.predict_values(model.policy.obs_to_tensor(model._last_obs)[0]).detach().numpy()[:, 0]
    expected = brute_advantages(rollout, last, model._last_episode_starts, 0.9)
    np.testing.assert_allclose(rollout["advantages"], expected, atol=1e-5)
    np.testing.assert_allclose(rollout["returns"], rollout["advantages"] + rollout["values"], atol=1e-6)


def test_an_abstention_is_worth_what_the_policy_expects_of_its_last_state(folder):
    model = ppo(folder, small_env(feedback=OnlyWithC()), learning_rate=0.0)
    with torch.no_grad():
        model.policy.value_head.output.weight.add_(0.1)
        model.policy.value_head.output.bias.fill_(0.7)
    model.policy._weights_changed = True
    watch, ended = Watch(), []

    class Ends(BaseCallback):
        def _on_step(self):
            step = self.locals["n_steps"]
            ended.extend((step, row, info) for row, info in enumerate(self.locals["infos"]) if info)
            return True

    model.learn(64, callback=[Ends(), watch])
    rewards = watch.rollouts[0]["rewards"]
    worth = []
    for step, row, info in ended:
        last = {name: torch.from_numpy(values[None]) for name, values in info["terminal_observation"].items()}
        value = model.policy.predict_values(last).item()
        if not info["scored"]:
            worth.append(value)
        assert rewards[step, row] == pytest.approx(info["score"] if info["scored"] else value, abs=1e-6)
    assert len(worth) > 2 and np.std(worth) > 1e-3 and 0 < len(worth) < len(ended)


def test_token_ids_stay_exact_and_dropout_stays_off(folder):
    model = ppo(folder)
    states, _ = model.policy.obs_to_tensor(small_env(3).reset())
    assert states["input_ids"].dtype == torch.int64
    model.policy.set_training_mode(True)
    assert not any(module.training for module in model.policy.modules())
    buffer = model.rollout_buffer
    assert buffer.observations["input_ids"].dtype == np.int64 and buffer.observations["attention_mask"].dtype == np.int8


def test_a_saved_model_writes_what_it_wrote_and_holds_no_pickled_model(folder, tmp_path):
    model = ppo(folder, policy={"critic_rate": 3.0})
    model.learn(64, callback=KLRewards(0.1))
    model.save(tmp_path / "saved.zip")
    loaded = PPO.load(tmp_path / "saved.zip", env=small_env(), device="cpu")
    env = small_env()
    env.seed(3)
    observation = env.reset()
    states, _ = model.policy.obs_to_tensor(observation)
    for name, values in model.policy.state_dict().items():
        assert torch.equal(values, loaded.policy.state_dict()[name])
    one, two = (each.policy.get_distribution(states).distribution.logits for each in (model, loaded))
    assert torch.equal(one, two)
    tokens = torch.zeros(8, dtype=torch.int64)
    np.testing.assert_array_equal(model.policy.reference_logprobs(states, tokens), loaded.policy.reference_logprobs(states, tokens))
    assert loaded.policy.optimizer.state_dict()["state"].keys() == model.policy.optimizer.state_dict()["state"].keys()
    with zipfile.ZipFile(tmp_path / "saved.zip") as saved:
        data = json.loads(saved.read("data"))
        weights = len(saved.read("policy.pth"))
        assert len(saved.read("data")) < 40_000 < weights
        assert data["policy_kwargs"]["model"] == folder and "LlamaForCausalLM" not in str(data)
    loaded.learn(64)


def test_a_loaded_model_acts_by_the_loaded_weights(folder, tmp_path):
    """The sampler is told of weights that arrive, and what it had cached is forgotten."""
    model = ppo(folder, learning_rate=3e-2)
    env = small_env()
    env.seed(0)
    states, _ = model.policy.obs_to_tensor(env.reset())
    model.policy.forward(states)
    model.policy.save(tmp_path / "policy.pth")
    old = model.policy.get_distribution(states).distribution.logits
    model.learn(64)
    assert not torch.allclose(old, model.policy.get_distribution(states).distribution.logits, atol=1e-2)
    copy = CausalLMPolicy.load(str(tmp_path / "policy.pth"), device="cpu")
    assert torch.equal(copy.get_distribution(states).distribution.logits, old)
    model.policy.load_state_dict(copy.state_dict())
    tokens, _, logprobs = model.policy.forward(states)
    torch.testing.assert_close(logprobs, old.log_softmax(-1).gather(1, tokens[:, None])[:, 0], atol=2e-6, rtol=0)


def test_a_policy_that_is_loaded_on_another_device_goes_on_as_it_was(folder):
    """No other device is here, so the move is from the CPU to the CPU."""
    model = ppo(folder, learning_rate=1e-2)
    model.learn(64)
    policy = model.policy
    states, _ = policy.obs_to_tensor(small_env().reset())
    logits, first = policy.get_distribution(states).distribution.logits, policy.language_model
    steps = [state["step"].item() for state in policy.optimizer.state_dict()["state"].values()]
    assert policy.to("cpu").language_model is first
    policy._move(torch.device("cpu"))
    assert policy.language_model is not first and torch.equal(policy.get_distribution(states).distribution.logits, logits)
    tokens, _, logprobs = policy.forward(states)
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0], atol=2e-6, rtol=0)
    assert [state["step"].item() for state in policy.optimizer.state_dict()["state"].values()] == steps
    assert policy.optimizer.param_groups[0]["params"][0] is next(policy.language_model.parameters())
    model.learn(64)


def test_the_value_head_has_a_learning_rate_of_its_own(folder):
    moved = []
    for rate in (1.0, 10.0):
        model = ppo(folder, learning_rate=1e-4, policy={"critic_rate": rate})
        before = model.policy.value_head.output.bias.detach().clone()
        model.learn(64)
        moved.append((model.policy.value_head.output.bias - before).abs().item())
        assert [group["lr"] for group in model.policy.optimizer.param_groups] == pytest.approx([1e-4, 1e-4])
    assert moved[1] == pytest.approx(10 * moved[0], rel=0.01)  # Adam's first step is the learning rate


def test_a_seed_decides_what_is_learned(folder):
    def learned(seed):
        model = ppo(folder, seed=seed, learning_rate=1e-3)
        model.learn(128)
        return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])

    one, again, other = learned(0), learned(0), learned(1)
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_predicting_disturbs_no_collecting_and_takes_single_states(folder):
    def written(is_disturbed):
        model = ppo(folder)
        env = small_env(4)
        env.seed(0)
        observation, tokens = env.reset(), []
        for _ in range(6):
            tokens.append(model.policy.forward(model.policy.obs_to_tensor(observation)[0])[0].tolist())
            if is_disturbed:
                model.predict(observation)
                model.predict({name: values[0] for name, values in observation.items()})
            observation = env.step(np.array(tokens[-1]))[0]
        return tokens

    assert written(False) == written(True)
    model = ppo(folder)
    observation = small_env(4).reset()
    best, _ = model.predict(observation, deterministic=True)
    states, _ = model.policy.obs_to_tensor(observation)
    np.testing.assert_array_equal(best, model.policy.get_distribution(states).distribution.logits.argmax(1).numpy())
    assert model.policy.causal.temperature == 1.0
    alone, _ = model.predict({name: values[1] for name, values in observation.items()}, deterministic=True)
    assert alone.shape == () and alone == best[1]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"model": torch.nn.Linear(1, 1)}, "model must be a name or a folder, got a Linear: Stable-Baselines3 pickles"),
        ({"temperature": 0.0}, "temperature and critic_rate above 0"),
        ({"model": "tinylm"}, "the environment has 4 actions and the model"),
    ],
)
def test_what_does_not_fit_is_refused(folder, policy, message):
    with pytest.raises(ValueError, match=message):
        ppo(folder, policy=policy)


def test_a_penalty_without_a_reference_is_refused(folder):
    with pytest.raises(ValueError, match="KLRewards needs a reference"):
        ppo(folder, policy={"reference": None}).learn(64, callback=KLRewards(0.1))
    with pytest.raises(ValueError, match="KLRewards needs CausalLMPolicy"):
        PPO("MultiInputPolicy", small_env(), n_steps=8, device="cpu").learn(64, callback=KLRewards(0.1))


def test_minibatches_of_whole_episodes_hold_every_state_once(folder):
    model = ppo(folder, rollout_buffer_class=EpisodeRolloutBuffer, n_epochs=1, batch_size=16, learning_rate=0.0)
    watch = Watch()
    model.learn(64, callback=watch)
    rollout = watch.rollouts[0]
    marks = (100 * np.arange(8)[:, None] + np.arange(8)).astype(np.float32)  # 100 t + row
    model.rollout_buffer.returns[:] = marks.T.reshape(-1, 1)  # rows one behind the other
    episode = np.maximum(rollout["episode_starts"], (np.arange(8) == 0)[:, None]).cumsum(axis=0) + 1000 * np.arange(8)
    orders = []
    for _ in range(2):
        parts = [part.returns.numpy().astype(int) for part in model.rollout_buffer.get(16)]
        assert sorted(np.concatenate(parts).tolist()) == sorted(marks.astype(int).reshape(-1).tolist())
        members = [{int(episode[mark // 100, mark % 100]) for mark in part} for part in parts]
        assert sum(map(len, members)) == len(set.union(*members)) == len(np.unique(episode))  # no episode is in two
        assert 3 <= len(parts) <= 4 and max(map(len, parts)) <= 16 + HORIZON
        orders.append(np.concatenate(parts).tolist())
    assert orders[0] != orders[1]
    assert len(next(iter(model.rollout_buffer.get(None))).returns) == 64
    assert model.logger.name_to_value["train/clip_fraction"] == 0 and abs(model.logger.name_to_value["train/approx_kl"]) < 1e-6


@pytest.mark.parametrize("kind", [PPO, A2C])
def test_it_learns_a_tiny_task(folder, kind):
    env = VecMonitor(small_env(32))
    options = {"batch_size": 128, "n_epochs": 2, "learning_rate": 3e-3} if kind is PPO else {"learning_rate": 3e-3}
    model = ppo(folder, env, kind, policy={"critic_rate": 3.0}, **options)
    scores = []

    class Scores(BaseCallback):
        def _on_step(self):
            scores.extend(info["score"] for info in self.locals["infos"] if info)
            return True

    model.learn(32 * 8 * 10, callback=Scores())
    assert np.mean(scores[:32]) < 0.2 and np.mean(scores[-64:]) > 0.7
