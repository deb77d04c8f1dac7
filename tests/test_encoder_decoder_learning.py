"""Check what agents are promised of an encoder-decoder: scores, gradients, values, divergence, checkpoints, errors."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from transformers import BartForConditionalGeneration

from agents import (
    GRPO,
    PPO,
    RLOO,
    CausalPolicy,
    EncoderDecoderPolicy,
    GRPOConfig,
    PPOConfig,
    Reinforce,
    ReinforceConfig,
    RLOOConfig,
    collect,
    language_policy,
    load,
    save,
)
from agents.learning.checkpoint import restore
from tests.tiny_encoder_decoders import tiny_encoder_decoder
from tests.tiny_models import tiny_model
from tests.tiny_sources import DISABLED, ENV
from text_env.tokens import load_tokens

PROMPTS = ["a", "The quick", "brown fox jumps over"]
REWARDED = 100  # ids below it are worth a point


def below(episodes):
    return [float(np.mean(episode.ids < REWARDED)) for episode in episodes]


def make(num_rows=6, **options):
    options = {"prompts": PROMPTS, "feedback": below, "max_new_tokens": 5, "eos_ids": tuple(range(0, 256, 5))} | options
    return gym.make_vec(ENV, num_envs=num_rows, autoreset_mode=DISABLED, tokenizer="bytes", **options)


def make_policy(name="t5", **options):
    return EncoderDecoderPolicy(tiny_encoder_decoder(name), device="cpu", closing=(256,), **options)


def written(policy, num_episodes=12, **options):
    return collect(make(**options), policy, num_episodes, seed=0, refill=0)


def scored(rollout):
    return rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks


@pytest.mark.parametrize("name", ["t5", "bart", "marian"])
def test_logprobs_and_values_while_writing_are_those_that_the_learner_computes(name):
    """Both compute in float32, where the order of sums differs: 1e-5 nats."""
    policy = make_policy(name, temperature=0.7, value_head=True)
    with torch.no_grad():
        policy.value_head.output.weight.fill_(0.1)
    rollout = written(policy)
    assert len(set(rollout.lengths.tolist())) > 1
    now = policy.evaluate(*scored(rollout))
    torch.testing.assert_close(now.logprobs.detach(), torch.from_numpy(rollout.logprobs), atol=1e-5, rtol=0)
    torch.testing.assert_close(now.values.detach(), torch.from_numpy(rollout.values), atol=2e-5, rtol=0)


def test_logprobs_are_those_of_the_models_own_forward_pass():
    policy = make_policy("bart")
    rollout = written(policy, 3)
    now = policy.evaluate(*scored(rollout)).logprobs
    for row, length in enumerate(rollout.lengths):
        prompt = rollout.tokens[row, : rollout.prompt_lengths[row]]
        actions = torch.from_numpy(rollout.actions[row, :length])
        decoder_ids = torch.cat([torch.tensor([policy.model.config.decoder_start_token_id]), actions[:-1]])
        logits = policy.model(input_ids=torch.tensor([[*prompt, 256]]), decoder_input_ids=decoder_ids[None]).logits[0]
        expected = torch.log_softmax(logits, -1).gather(1, actions[:, None])[:, 0]
        torch.testing.assert_close(now[row, :length], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_padded_episodes_are_scored_as_they_are_alone(name):
    policy = make_policy(name)
    rollout = written(policy)
    together = policy.evaluate(*scored(rollout)).logprobs.detach()
    for row in range(len(rollout)):
        end = rollout.prompt_lengths[row] + rollout.lengths[row]
        tokens, is_action = rollout.tokens[row : row + 1, :end], rollout.is_action[row : row + 1, : rollout.lengths[row]]
        alone = policy.evaluate(tokens, rollout.prompt_lengths[row : row + 1], is_action).logprobs.detach()
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_gradients_reach_encoder_and_decoder():
    policy = make_policy("bart", value_head=True)
    rollout = written(policy, 3)
    policy.evaluate(*scored(rollout)).logprobs.sum().backward()
    for part in (policy.model.get_encoder(), policy.model.get_decoder()):
        without = [name for name, parameter in part.named_parameters() if parameter.grad is None or not parameter.grad.abs().sum() > 0]
        # softmax does not see what is added to all keys; later positions and rare ids were not read
        assert [name for name in without if "k_proj.bias" not in name] == []


def test_the_divergence_of_a_policy_from_itself_is_zero():
    policy = make_policy()
    rollout = written(policy, 6)
    now = policy.evaluate(*scored(rollout), exact_kl=True)
    torch.testing.assert_close(policy.reference_logprobs(*scored(rollout)), now.logprobs.detach(), atol=1e-5, rtol=0)  # other kernels
    assert now.kl.abs().max() < 1e-5


AGENTS = {
    "reinforce": lambda policy: Reinforce(policy, ReinforceConfig(learning_rate=1e-3, kl_weight=0.0)),
    "rloo": lambda policy: RLOO(policy, RLOOConfig(learning_rate=1e-3)),
    "grpo": lambda policy: GRPO(policy, GRPOConfig(learning_rate=1e-3)),
    "ppo": lambda policy: PPO(policy, PPOConfig(learning_rate=1e-3, epochs=1, minibatch_size=16)),
}


@pytest.mark.parametrize("name", AGENTS)
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
    agent = AGENTS["reinforce"](
        EncoderDecoderPolicy(tiny_encoder_decoder("bart"), tokens=load_tokens("bytes"), device="cpu", closing=(256,))
    )
    agent.update(collect(make(), agent, 6, seed=0))
    save(agent, tmp_path / "checkpoint")
    again = load(tmp_path / "checkpoint", device="cpu", tokens=load_tokens("bytes"))
    assert type(again.policy) is EncoderDecoderPolicy and tuple(again.policy.closing) == (256,)
    one, other = (collect(make(), policy, 6, seed=3) for policy in (agent, again))
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_array_equal(one.logprobs, other.logprobs)
    untrained = AGENTS["reinforce"](make_policy("bart"))
    restore(untrained, tmp_path / "checkpoint")
    np.testing.assert_array_equal(collect(make(), untrained, 6, seed=3).tokens, one.tokens)


def test_the_kind_of_policy_is_read_from_the_models_configuration(tmp_path):
    for name, model in (("bart", tiny_encoder_decoder("bart")), ("llama", tiny_model())):
        model.save_pretrained(tmp_path / name)
    tokens = load_tokens("bytes")
    policy = language_policy(str(tmp_path / "bart"), tokens=tokens, device="cpu")
    assert type(policy) is EncoderDecoderPolicy and isinstance(policy.model, BartForConditionalGeneration)
    assert type(language_policy(str(tmp_path / "llama"), tokens=tokens, device="cpu")) is CausalPolicy
    with pytest.raises(ValueError, match=r"BartForConditionalGeneration has an encoder.* EncoderDecoderPolicy"):
        CausalPolicy(str(tmp_path / "bart"), tokens=tokens, device="cpu")
    with pytest.raises(ValueError, match="LlamaForCausalLM has no encoder: make it a policy by CausalPolicy"):
        EncoderDecoderPolicy(str(tmp_path / "llama"), tokens=tokens, device="cpu")
    with pytest.raises(ValueError, match="the policy has an encoder and the reference has none"):
        EncoderDecoderPolicy(tiny_encoder_decoder(), device="cpu", reference=tiny_model())


def test_attention_in_windows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"LEDForConditionalGeneration cannot be served .* cut by 'attention_window'"):
        EncoderDecoderPolicy(tiny_encoder_decoder("led", "eager"), device="cpu")


def test_prompts_and_responses_longer_than_the_tables_of_positions_are_errors_that_say_so():
    policy = make_policy("bart")
    with pytest.raises(ValueError, match="the prompt of row 0 has 97 tokens, special ones included, and the model reads at most 96"):
        written(policy, 1, num_rows=1, prompts=["x" * 96])
    with pytest.raises(ValueError, match=r"the response of row 0 has 97 tokens.* lower max_new_tokens"):
        written(policy, 1, num_rows=1, max_new_tokens=100, eos_ids=(256,), min_new_tokens=100)


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


@pytest.mark.parametrize("name", ["t5_gated", "bart"])
def test_in_bfloat16_the_sampler_is_near_the_learner(name):
    """One rounding is 1/256 of a number; the logits of these models are of a few units: 0.25 nats a token at most, 0.08 in the mean."""
    policy = make_policy(name, compute_dtype="bfloat16")
    rollout = written(policy)
    error = np.abs(policy.evaluate(*scored(rollout)).logprobs.detach().float().numpy() - rollout.logprobs)
    assert error.max() < 0.25 and error[rollout.is_action].mean() < 0.08
