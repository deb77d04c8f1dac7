"""Check what is saved, who can read it, and what is never believed of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import agents.learning.checkpoint as checkpoint
from agents import ActorCritic, ActorCriticConfig, CausalPolicy, Reinforce, ReinforceConfig, collect, load, save
from agents.learning.checkpoint import restore
from tests.exact_task import DISABLED, make_env, table_policy
from tests.test_learning_exact import tiny_llama
from tests.tiny_sources import Length, make_vec

PROMPTS = ["The food was", "My dog"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return an agent with the bundled model after a few steps, its environment, and its checkpoint."""
    agent = Reinforce(CausalPolicy("tinylm", device="cpu", temperature=0.7, seed=3), ReinforceConfig(learning_rate=1e-3, kl_weight=0.5))
    env = make_vec(8, tokenizer="tinylm", prompts=PROMPTS, feedback=Length(), autoreset_mode=DISABLED)
    for update in range(2):
        agent.update(collect(env, agent, 8, seed=update))
    return agent, env, save(agent, tmp_path_factory.mktemp("run") / "checkpoint", extra={"note": "two steps"})


def same_texts(env, one, two):
    first, second = (collect(env, agent, 8, seed=9) for agent in (one, two))
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.logprobs, second.logprobs)


def test_a_loaded_agent_writes_what_the_saved_one_writes(saved):
    agent, env, folder = saved
    again = load(folder, device="cpu")
    same_texts(env, agent, again)
    assert type(again) is Reinforce and again.config == agent.config
    assert again.policy.temperature == 0.7 and again.policy.version == 2
    assert again.policy.tokens.fingerprint == agent.policy.tokens.fingerprint


def test_a_loaded_agent_measures_divergence_from_where_training_began(saved):
    agent, env, folder = saved
    rollout = collect(env, agent, 8, seed=1)
    arguments = rollout.tokens, rollout.prompt_lengths, rollout.is_action
    torch.testing.assert_close(
        load(folder, device="cpu").policy.reference_logprobs(*arguments), agent.policy.reference_logprobs(*arguments)
    )


def test_transformers_reads_a_checkpoint_as_its_own(saved):
    agent, _, folder = saved
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("The food was", return_tensors="pt").input_ids
    assert ids[0].tolist() == agent.policy.tokens.encode("The food was").tolist()
    torch.testing.assert_close(model(ids).logits, agent.policy.model(ids).logits)


def test_a_policy_reads_a_checkpoint_by_its_folder(saved):
    agent, env, folder = saved
    policy = CausalPolicy(str(folder), device="cpu", temperature=0.7, reference=None)
    same_texts(env, agent, Reinforce(policy))


def test_weights_that_are_restored_learn_on_as_the_saved_ones_do(saved, tmp_path):
    agent, env, folder = saved
    again = Reinforce(CausalPolicy("tinylm", device="cpu", temperature=0.7, seed=3), agent.config)
    assert restore(again, folder) == {"note": "two steps"}
    copy = load(save(agent, tmp_path / "copy"), device="cpu")
    restore(copy, tmp_path / "copy")
    rollout = collect(env, agent, 8, seed=4)
    assert again.update(rollout) == copy.update(rollout)
    same_texts(env, again, copy)


def test_a_value_head_is_saved_and_loaded(tmp_path):
    policy = CausalPolicy("tinylm", device="cpu", value_head=True)
    agent = ActorCritic(policy, ActorCriticConfig(critic_learning_rate=0.1, mixing=0.5))
    env = make_vec(4, tokenizer="tinylm", prompts=PROMPTS, feedback=Length(), autoreset_mode=DISABLED)
    agent.update(collect(env, agent, 4, seed=0))
    again = load(save(agent, tmp_path / "checkpoint"), device="cpu")
    assert type(again) is ActorCritic and again.config == agent.config
    one, two = (collect(env, each, 4, seed=9) for each in (agent, again))
    np.testing.assert_array_equal(one.values, two.values)
    assert np.abs(one.values).max() > 0


def test_a_policy_that_is_no_language_model_is_restored_too(tmp_path):
    agent = Reinforce(table_policy(None), ReinforceConfig(learning_rate=0.1))
    agent.update(collect(make_env(Length()), agent, 8, seed=0))
    again = Reinforce(table_policy(None), agent.config)
    restore(again, save(agent, tmp_path / "checkpoint"))
    assert torch.equal(again.policy.logits, agent.policy.logits) and again.policy.version == 1


def test_a_tokenizer_object_is_saved_in_a_form_that_can_be_read(tmp_path):
    from tests.exact_task import tokenizer
    from text_env import load_tokens

    policy = CausalPolicy(tiny_llama(), tokens=load_tokens(tokenizer(), eos_ids=[2]), device="cpu")
    folder = save(Reinforce(policy), tmp_path / "checkpoint")
    assert load_tokens(str(folder)).fingerprint == policy.tokens.fingerprint
    assert load_tokens(str(folder)).eos_ids == (2,)


def test_without_the_optimiser_a_checkpoint_is_smaller_and_no_training_goes_on_from_it(saved, tmp_path):
    agent, _, folder = saved
    small = save(agent, tmp_path / "small", with_optimizer=False)
    size = {path: sum(file.stat().st_size for file in path.iterdir()) for path in (small, folder)}
    assert size[small] < 0.5 * size[folder]
    with pytest.raises(ValueError, match="saved without the optimiser's state"):
        restore(agent, small)
    load(small, device="cpu")


def test_a_class_that_a_file_names_is_not_looked_up_unless_it_is_ours(saved, tmp_path):
    agent, _, _ = saved
    folder = save(agent, tmp_path / "checkpoint")
    described = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps({**described, "agent": "os:system"}))
    with pytest.raises(ValueError, match=r"os:system, which is not one of .*: pass its class"):
        load(folder)
    assert type(load(folder, agent_class=Reinforce, device="cpu")) is Reinforce


def test_a_reference_that_a_file_names_is_not_looked_up_unless_it_is_bundled(saved, tmp_path):
    agent, env, _ = saved
    folder = save(agent, tmp_path / "checkpoint")
    described = json.loads((folder / "agent.json").read_text())
    assert described["policy"]["reference"] == "tinylm"
    described["policy"]["reference"] = "somebody/some-model"
    (folder / "agent.json").write_text(json.dumps(described))
    again = load(folder, device="cpu")
    with pytest.raises(ValueError, match="reference=None"):
        again.update(collect(env, again, 4, seed=0))
    assert load(folder, reference="tinylm", device="cpu").update(collect(env, agent, 4, seed=0))["kl_nats_per_response"] != 0


def test_another_agents_checkpoint_is_refused_by_both_names(saved):
    _, _, folder = saved
    with pytest.raises(ValueError, match=r"holds a agents.reinforce:Reinforce, which cannot go on as a agents.actor_critic:ActorCritic"):
        restore(ActorCritic(table_policy(None, value_head=True)), folder)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a checkpoint: it has no agent\.json"):
        load(tmp_path)


def test_a_process_that_dies_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    agent = Reinforce(table_policy(None))
    folder = save(agent, tmp_path / "checkpoint", extra={"number": 1})

    def dies(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        save(agent, folder, extra={"number": 2})
    monkeypatch.undo()
    assert restore(agent, folder) == {"number": 1}
    save(agent, folder, extra={"number": 3})
    assert restore(agent, folder) == {"number": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_process_that_dies_between_two_renames_leaves_a_whole_checkpoint(tmp_path):
    agent = Reinforce(table_policy(None))
    folder = save(agent, tmp_path / "checkpoint", extra={"number": 1})
    folder.rename(tmp_path / ".checkpoint.old")
    assert restore(agent, folder) == {"number": 1}
    save(agent, folder, extra={"number": 2})
    assert restore(agent, folder) == {"number": 2}
