"""Check what agents are promised of an encoder-decoder: scores, gradients, values, divergence, checkpoints, errors."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import (
    GRPO,
    PPO,
    RLOO,
    EncoderDecoderPolicy,
    GRPOConfig,
    PPOConfig,
    Reinforce,
    ReinforceConfig,
    RLOOConfig,
    collect,
    load,
    save,
)
from agents.learning.checkpoint import restore
from tests.tiny_encoder_decoders import SERVED, tiny_encoder_decoder
from tests.tiny_sources import DISABLED, ENV
from text_env.tokens import load_tokens

PROMPTS = ["a", "The quick", "brown fox jumps over"]
REWARDED = 100  # ids below it are worth a point


def below(episodes):
    return [float(np.mean(episode.ids < REWARDED)) for episode in episodes]


def make(num_rows=6, **options):
    options = {"prompts": PROMPTS, "feedback": below, "max_new_tokens": 5, "eos_ids": tuple(range(0, 256, 5))} | options
    return gym.make_vec(ENV, num_envs=num_rows, autoreset_mode=DISABLED, tokenizer="bytes", **options)


def make_policy(name="t5", seed=0, weights="float32", **options):
    model = tiny_encoder_decoder(name, seed=seed, dtype=weights)
    return EncoderDecoderPolicy(model, device="cpu", closing=(256,), dtype=weights, **options)


def written(policy, num_episodes=6, **options):
    return collect(make(**options), policy, num_episodes, seed=0, refill=0)


def scored(rollout):
    return rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks


def check_sampler_and_learner_agree(name, seed, weights, atol):
    policy = make_policy(name, seed, weights, temperature=0.7, value_head=True)
    with torch.no_grad():
        policy.value_head.output.weight.fill_(0.1)
        rollout = written(policy, 6, num_rows=3)
        now = policy.evaluate(*scored(rollout))
    assert len(set(rollout.lengths.tolist())) > 1
    torch.testing.assert_close(now.logprobs, torch.from_numpy(rollout.logprobs), atol=atol, rtol=0)
    torch.testing.assert_close(now.values, torch.from_numpy(rollout.values), atol=atol, rtol=0)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_logprobs_and_values_while_writing_are_those_that_the_learner_computes(name):
    """Weights are float64; logits and values are float32 in the end, where 16 nats have a step of 1e-6."""
    check_sampler_and_learner_agree(name, 0, "float64", atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("weights", "atol"), [("float64", 2e-6), ("float32", 1e-4)])  # sums of another order, through sharp attention
@pytest.mark.parametrize("name", SERVED)
def test_sampler_and_learner_agree_in_every_architecture(name, weights, atol, seed):
    check_sampler_and_learner_agree(name, seed, weights, atol)


@pytest.mark.parametrize("name", ["t5", pytest.param("bart", marks=pytest.mark.slow)])
def test_padded_episodes_are_scored_as_they_are_alone(name):
    policy = make_policy(name, weights="float64")
    rollout = written(policy, 3)
    assert len(set(rollout.lengths.tolist())) > 1
    with torch.no_grad():
        together = policy.evaluate(*scored(rollout)).logprobs
        for row in range(len(rollout)):
            end = rollout.prompt_lengths[row] + rollout.lengths[row]
            tokens, is_action = rollout.tokens[row : row + 1, :end], rollout.is_action[row : row + 1, : rollout.lengths[row]]
            alone = policy.evaluate(tokens, rollout.prompt_lengths[row : row + 1], is_action).logprobs
            torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, atol=2e-6, rtol=0)


def test_gradients_reach_encoder_and_decoder():
    policy = make_policy("bart", value_head=True)
    rollout = written(policy, 3)
    policy.evaluate(*scored(rollout)).logprobs.sum().backward()
    for part in (policy.model.get_encoder(), policy.model.get_decoder()):
        without = [name for name, parameter in part.named_parameters() if parameter.grad is None or not parameter.grad.abs().sum() > 0]
        # softmax does not see what is added to all keys; later positions and rare ids were not read
        assert [name for name in without if "k_proj.bias" not in name] == []


def check_no_divergence(name, compute_dtype):
    policy = make_policy(name, compute_dtype=compute_dtype)
    rollout = written(policy, 3)
    now = policy.evaluate(*scored(rollout), exact_kl=True)
    assert torch.equal(policy.reference_logprobs(*scored(rollout)), now.logprobs)
    assert (now.kl == 0).all()
    with torch.no_grad():
        assert torch.equal(policy.evaluate(*scored(rollout)).logprobs, now.logprobs), "whether gradients are wanted must not matter"


def test_the_divergence_of_a_policy_from_itself_is_zero():
    check_no_divergence("t5", "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SERVED)
def test_no_architecture_diverges_from_itself(name, compute_dtype):
    check_no_divergence(name, compute_dtype)


AGENTS = {
    "reinforce": lambda policy: Reinforce(policy, ReinforceConfig(learning_rate=1e-3, kl_weight=0.0)),
    "rloo": lambda policy: RLOO(policy, RLOOConfig(learning_rate=1e-3)),
    "grpo": lambda policy: GRPO(policy, GRPOConfig(learning_rate=1e-3)),
    "ppo": lambda policy: PPO(policy, PPOConfig(learning_rate=1e-3, epochs=1, minibatch_size=16)),
}


@pytest.mark.parametrize("name", [name if name == "ppo" else pytest.param(name, marks=pytest.mark.slow) for name in AGENTS])
def test_an_update_makes_the_tokens_of_better_responses_likelier(name):
    agent = AGENTS[name](make_policy(value_head=name == "ppo"))
    rollout = collect(make(16, group_size=4), agent, 16, seed=0)
    before = agent.policy.evaluate(*scored(rollout)).logprobs.detach().sum(1)
    metrics = agent.update(rollout)
    change = (agent.policy.evaluate(*scored(rollout)).logprobs.detach().sum(1) - before).numpy()
    assert agent.policy.version == 1 and np.isfinite(list(metrics.values())).all()
    scores = rollout.scores - np.array([rollout.scores[rollout.group == group].mean() for group in rollout.group])
    assert (change * scores).sum() > 0


def test_a_checkpoint_makes_the_same_policy_again(tmp_path):
    tokens = load_tokens("bytes")
    agent = AGENTS["reinforce"](make_policy("bart", tokens=tokens))
    agent.update(collect(make(), agent, 3, seed=0))
    save(agent, tmp_path / "checkpoint")
    again = load(tmp_path / "checkpoint", device="cpu", tokens=tokens)
    assert type(again.policy) is EncoderDecoderPolicy and tuple(again.policy.closing) == (256,)
    restored = AGENTS["reinforce"](make_policy("bart"))
    restore(restored, tmp_path / "checkpoint")
    rollout = collect(make(), agent, 3, seed=3)
    expected = agent.policy.evaluate(*scored(rollout)).logprobs
    for other in (again, restored):
        assert torch.equal(other.policy.evaluate(*scored(rollout)).logprobs, expected)
    np.testing.assert_array_equal(collect(make(), again, 3, seed=3).tokens, rollout.tokens)


class Fed:
    """Count the tokens that go through encoder and decoder."""

    def __init__(self, policy):
        self.calls = []
        for part in (policy._sampler.model.get_encoder(), policy._sampler.model.get_decoder()):
            part.register_forward_pre_hook(lambda _, __, named: self.calls.append(tuple(named["input_ids"].shape)), with_kwargs=True)


def test_a_prompt_is_encoded_once_an_episode_and_a_step_costs_one_token_a_row():
    policy = make_policy("bart")
    fed = Fed(policy)
    collect(make(4, prompts=["abc"], eos_ids=(256,), min_new_tokens=5), policy, 8, seed=0)
    episode = [(1, 4), (1, 1), *[(4, 1)] * 4]  # the prompt that all rows share, its start, and the steps behind it
    assert fed.calls == episode * 2, "finished episodes cost nothing"


def rounding_errors(name, seed):
    """Return the root mean square, in nats, by which a plain forward pass, the sampler and the learner miss float32 in bfloat16."""
    policy = make_policy(name, seed, compute_dtype="bfloat16", reference=None)
    rollout = written(policy, 24, num_rows=24)
    exact, plain = make_policy(name, seed, reference=None), make_policy(name, seed, "bfloat16", reference=None)
    with torch.no_grad():
        by_exact, *others = (each.evaluate(*scored(rollout)).logprobs.numpy() for each in (exact, plain, policy))
    errors = [(logprobs - by_exact)[rollout.is_action] for logprobs in (others[0], rollout.logprobs, others[1])]
    return [float(np.sqrt((error**2).mean())) for error in errors]


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED)
def test_in_bfloat16_sampler_and_learner_err_no_more_than_a_plain_forward_pass(name):
    """No more than twice, over three models: a few tokens hold most of the error, so equal errors of one model come out up to 2.4 apart."""
    squares = np.square([rounding_errors(name, seed) for seed in (0, 1, 2)])
    plain, sampler, learner = np.sqrt(squares.mean(axis=0))
    assert 0 < sampler < 2 * plain and 0 < learner < 2 * plain
