"""Check learning from references: which tokens are trained, by which gradient, what a demonstration holds, and what comes after."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

import text_env  # noqa: F401  (registers the environments)
from agents import (
    CausalPolicy,
    References,
    Reinforce,
    Supervised,
    SupervisedConfig,
    collect,
    demonstrations,
    evaluate,
    load,
    reference_nll,
    train,
)
from agents.learning.late import rollouts_of
from agents.learning.run_folder import read_metrics
from agents.learning.step import Batch
from agents.learning.stopping import Progress
from tests.test_learning_train import numbers
from tests.tiny_models import tiny_model
from tests.tiny_sources import DISABLED, END, Length
from text_env.episode import Ending
from text_env.tokens import ByteVocabulary, Tokens

ROWS = [
    {"prompt": "a", "references": ["bc"]},
    {"prompt": "long prompt", "references": ["x"]},
    {"prompt": "any", "references": ["of them", "or this"]},
]


class Unasked:
    """Fail as soon as it is asked."""

    low, high, unit = 0.0, 1.0, "points"

    def __call__(self, episodes):
        raise AssertionError("nobody is to be asked")


def make_env(rows=ROWS, feedback=None, num_envs=4, **options):
    options = {"tokenizer": "bytes", "max_new_tokens": 8, **options}
    return gym.make_vec(
        "TextGen-v0",
        num_envs=num_envs,
        autoreset_mode=DISABLED,
        prompts=rows,
        feedback=Unasked() if feedback is None else feedback,
        **options,
    )


def make_agent(**settings):
    policy = CausalPolicy(tiny_model("llama"), device="cpu", reference=None)
    return Supervised(policy, SupervisedConfig(**{"max_grad_norm": float("inf"), **settings}))


def gradient_of(policy):
    return torch.cat([parameter.grad.flatten() for parameter in policy.parameters()])


def gradient_by_transformers(model, rollout):
    """Return the loss that transformers computes from labels, with prompt and padding unlabelled, and its gradient."""
    tokens = torch.as_tensor(rollout.tokens)
    places = torch.arange(tokens.shape[1])
    starts, lengths = (torch.as_tensor(array)[:, None] for array in (rollout.prompt_lengths, rollout.lengths))
    labels = torch.where((places >= starts) & (places < starts + lengths), tokens, -100)
    model.zero_grad()
    loss = model(input_ids=tokens, attention_mask=(places < starts + lengths).long(), labels=labels).loss
    loss.backward()
    return float(loss.detach()), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_loss_and_gradient_are_those_of_transformers_with_prompt_and_padding_unlabelled():
    agent = make_agent()
    rollout = demonstrations(make_env(), 6, seed=0)
    assert len(set(rollout.prompt_lengths)) == 3 and len(set(rollout.lengths)) == 3
    loss, gradient = gradient_by_transformers(agent.policy.model, rollout)
    agent.policy.model.zero_grad()
    ours, _ = agent.loss(Batch.alone(rollout))
    ours.backward()
    assert float(ours.detach()) == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(gradient_of(agent.policy), gradient, rtol=1e-4, atol=1e-6)
    assert gradient.abs().max() > 0.1
    assert reference_nll(agent.policy, make_env(), 6)["nll_nats_per_token"] == pytest.approx(loss, rel=1e-6)


def test_the_parts_of_a_batch_add_up_to_the_step_of_the_whole_and_a_token_weighs_the_same_in_each():
    rollout = demonstrations(make_env(), 6, seed=0)
    steps = []
    for rows_per_backward in (1, 6):
        agent = make_agent(rows_per_backward=rows_per_backward)
        metrics = agent.update(rollout)
        steps.append((metrics["loss"], metrics["grad_norm"], gradient_of(agent.policy)))
    assert steps[0][:2] == pytest.approx(steps[1][:2], rel=1e-5)
    torch.testing.assert_close(steps[0][2], steps[1][2], rtol=1e-4, atol=1e-6)


def test_a_reference_teaches_the_same_alone_and_padded_to_others():
    rollout = demonstrations(make_env(), 6, seed=0)
    short = int(rollout.lengths.argmin())
    alone = rollout.take(np.array([short])).trimmed()
    padded = rollout.take(np.array([short]))
    assert padded.tokens.shape[1] > alone.tokens.shape[1]
    losses = []
    for part in (alone, padded):
        agent = make_agent()
        loss, _ = agent.loss(Batch.alone(part))
        loss.backward()
        losses.append((float(loss.detach()), gradient_of(agent.policy)))
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    torch.testing.assert_close(losses[0][1], losses[1][1], rtol=1e-4, atol=1e-6)


def test_the_end_token_is_trained_though_it_is_the_pad_token():
    env = make_env([{"prompt": "a", "references": ["b"]}])
    agent = make_agent(learning_rate=0.01)
    rollout = demonstrations(env, 4, seed=0)
    assert env.unwrapped.tokens.pad_id == END and (rollout.actions[:, :2] == [ord("b"), END]).all()
    chances = []
    for _ in range(12):
        with torch.no_grad():
            now = agent.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action)
        chances.append(float(now.logprobs[0, 1].exp()))
        assert agent.update(rollout)["tokens"] == 8  # 4 times "b" and the end
    assert chances[0] < 0.1 and chances[-1] > 0.9


def test_a_demonstration_holds_the_ids_of_prompt_and_reference_and_ends_as_the_environment_says():
    env = make_env()
    rollout = demonstrations(env, 6, seed=1)
    tokens = env.unwrapped.tokens
    for row, episode in enumerate(rollout.episodes):
        assert episode.response in episode.prompt.references and episode.ending == Ending.EOS
        expected = [*episode.prompt.ids, *tokens.encode(episode.response), END]
        assert rollout.tokens[row, : len(expected)].tolist() == expected
        assert rollout.lengths[row] == len(expected) - len(episode.prompt.ids)
    assert not rollout.is_truncated.any() and rollout.masks is None
    info = make_env().reset(seed=1)[1]  # of what an agent is shown with the same seed
    assert [each.prompt.id for each in rollout.episodes[:3]] == [str(number) for number in info["prompt_index"][:3]]


def test_the_seed_decides_which_of_several_references_is_imitated():
    env = make_env(ROWS[2:])
    first, again, other = (demonstrations(env, 8, seed=seed).responses for seed in (0, 0, 1))
    assert first == again != other
    assert set(first) == {"of them", "or this"}


@pytest.mark.parametrize("options", [{}, {"scoring": "deferred"}, {"on_abstain": "truncate"}, {"group_size": 2}])
def test_nobody_is_asked_what_a_reference_is_worth_and_the_next_responses_are_judged_again(options):
    feedback = Length()
    env = make_env(feedback=feedback, **options)
    rollout = demonstrations(env, 6, seed=0)
    assert not feedback.calls and not rollout.is_scored.any() and not rollout.is_truncated.any()
    assert collect(env, References(env), 6, seed=0).is_scored.all() and feedback.calls


def test_a_single_environment_and_one_that_pays_at_each_step_give_demonstrations_too():
    env = gym.make("TextGen-v0", tokenizer="bytes", prompts=ROWS, feedback="tests.tiny_sources:Vowels", max_new_tokens=8)
    rollout = demonstrations(env, 3, seed=0)
    assert sorted(rollout.responses)[0] == "bc" and not rollout.rewards.any()


def test_what_references_score_is_the_ceiling():
    rows = [{"prompt": str(number), "references": [f"={number}"]} for number in range(8)]
    env = make_env(rows, "feedback.exact_match:ExactMatch")
    assert evaluate(env, References(env), 8)[0]["score"] == 1.0


def test_prompts_of_a_function_and_prompts_in_a_chat_template_are_demonstrated():
    def drawn(rng):
        number = int(rng.integers(100))
        return {"prompt": f"{number}?", "references": [f"{number}!"]}

    template = Tokens(ByteVocabulary(), "templated", (END,), template=lambda messages: f"<{messages[-1]['content']}>")
    rollout = demonstrations(make_env(drawn, tokenizer=template, chat_template=True), 8, seed=0)
    for row, episode in enumerate(rollout.episodes):
        number = episode.prompt.text[:-1]
        written = [*f"<{number}?>{number}!".encode(), END]
        assert rollout.tokens[row, : len(written)].tolist() == written
    assert len(set(rollout.responses)) > 4


def test_the_masks_that_held_are_those_of_the_policy_that_is_trained():
    rows = [{"prompt": "a", "references": ["yes", "no"]}]
    rollout = demonstrations(make_env(rows, choices=["yes", "no"]), 8, seed=0)
    metrics = make_agent().update(rollout)
    written_no = np.array([response == "no" for response in rollout.responses])
    assert 0 < written_no.sum() < 8
    assert metrics["nll_nats_per_token"] > 0
    masked = make_agent().policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
    assert not masked.logprobs[:, 1:].any()  # after the first letter nothing is left to choose


def test_an_update_imitates_any_episodes_that_it_is_given_whatever_their_scores():
    rollout = collect(make_env(feedback=Length(), max_new_tokens=3), make_agent(), 8, seed=0)
    agent = make_agent(learning_rate=0.01)
    metrics = [agent.update(rollout) for _ in range(5)]
    assert metrics[0]["score"] == pytest.approx(rollout.scores.mean())
    assert metrics[-1]["nll_nats_per_token"] < metrics[0]["nll_nats_per_token"] - 1


LONG = [{"prompt": "a", "references": ["12345678"]}]  # as many tokens as the budget, so without room for the end


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["a"], {}, r"prompt 0 \('a'\) has no references, and they are what is learned from"),
        ([{"prompt": "a", "references": [""]}], {}, r"reference '' of prompt 0 \('a'\) is empty"),
        (LONG, {}, r"reference '12345678' of prompt 0 \('a'\) needs 9 tokens with its end token, more than max_new_tokens=8: raise"),
        ([{"prompt": "a", "references": ["b\nc"]}], {"stop": ["\n"]}, r"reference 'b\\nc' .* contains the stop string '\\n'"),
        (
            [{"prompt": "a", "references": ["bc"]}],
            {"banned_tokens": [ord("c")]},
            r"reference 'bc' .* its token number 1 \('c'\) is masked by",
        ),
        ([{"prompt": "a", "references": ["bc"]}], {"min_new_tokens": 3}, r"reference 'bc' .* its token number 2 \('<\|end\|>'\) is masked"),
        ([{"prompt": "a", "references": ["bc"]}], {"choices": ["no"]}, r"reference 'bc' .* its token number 0 \('b'\) is masked"),
        ([{"prompt": "a", "references": ["b"]}], {"max_episode_steps": 1}, "a time limit around the environment cut a reference off"),
        ([{"prompt": "a", "references": ["b"]}], {"partner": lambda episodes: [None] * len(episodes)}, "has a partner who answers"),
    ],
)
def test_a_reference_that_cannot_be_written_is_named_with_what_stands_against_it(rows, options, message):
    with pytest.raises(ValueError, match=message):
        demonstrations(make_env(rows, **options), 4, seed=0)


def test_a_reference_that_the_tokenizer_does_not_give_back_is_named():
    from tests.exact_task import make_env as make_word_env

    rows = [{"prompt": "a b", "references": ["b z"]}]  # a tokenizer of words that knows a, b and c
    with pytest.raises(ValueError, match=r"reference 'b z' .* cannot be written with the tokenizer .*, which makes 'b a' of it"):
        demonstrations(make_word_env(Length(), prompts=rows), 4, seed=0)


def test_references_that_do_not_fit_are_left_out_and_counted_where_that_is_wished():
    env, agent = make_env([*ROWS, *LONG]), make_agent(long_references="leave_out")
    rollouts = rollouts_of(env, agent)
    rollout = rollouts.next(8, iter([0]))
    assert len(rollout) == 6 and "12345678" not in rollout.responses
    assert rollouts.metrics() == {"share_left_out": 0.25}
    with pytest.raises(ValueError, match="none of 4 references fits the budget"):
        demonstrations(make_env(LONG), 4, seed=0, long_references="leave_out")


def test_settings_and_environments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match='long_references must be "error" or "leave_out", got \'cut\''):
        demonstrations(make_env(), 4, long_references="cut")
    with pytest.raises(ValueError, match="references need a TextGen environment"):
        demonstrations(gym.make_vec("CartPole-v1", num_envs=2), 4)


def test_a_policy_with_other_tokens_than_the_environment_is_not_made_to_imitate_them():
    agent = Supervised(CausalPolicy("tinylm", device="cpu", reference=None))
    for learn in (lambda: agent.demonstrations(make_env(), 4), lambda: reference_nll(agent.policy, make_env(), 4)):
        with pytest.raises(ValueError, match="the policy's tokenizer 'tinylm' and the environment's 'bytes' give the same ids other texts"):
            learn()


def run_of(folder, num_updates, resume=False):
    env, held_out = (make_env(feedback=Length()) for _ in range(2))
    options = {"evaluation_env": held_out, "evaluate_every": 2, "show": False, "seed": 3}
    return train(env, make_agent(learning_rate=0.01), num_updates, 6, folder=folder, resume=resume, **options)


def test_a_resumed_supervision_gives_the_numbers_of_one_that_was_not_interrupted(tmp_path):
    whole = run_of(tmp_path / "whole", 4)
    first, second = run_of(tmp_path / "parts", 2), run_of(tmp_path / "parts", 4, resume=True)
    assert numbers(first.metrics + second.metrics) == numbers(whole.metrics)
    assert numbers(read_metrics(tmp_path / "parts")) == numbers(read_metrics(tmp_path / "whole"))
    assert (
        second.best_score
        == whole.best_score
        == -min(line["held_out/nll_nats_per_token"] for line in whole.metrics if "held_out/score" in line)
    )
    assert whole.metrics[-1]["nll_nats_per_token"] < whole.metrics[1]["nll_nats_per_token"]
    assert "score" not in whole.metrics[1]  # nobody was asked about references, but about what was written to held-out prompts
    assert isinstance(load(tmp_path / "whole/checkpoints/best", device="cpu"), Supervised)


def test_the_best_checkpoint_of_an_imitator_finds_its_references_likeliest_and_that_of_others_scores_highest():
    progress = Progress()
    judged = [
        progress.judge({"held_out/nll_nats_per_token": nll, "held_out/score": score}) for nll, score in ((2.0, 0.1), (1.0, 0.0), (1.5, 1.0))
    ]
    assert judged == [True, True, False] and progress.best_score == -1.0
    without = Progress()
    for nll in (3.0, 1.0):
        without.count({"nll_nats_per_token": nll}, 4)
    assert without.judge({}) and without.best_score == -2.0
    other = Progress()
    assert [other.judge({"held_out/score": score}) for score in (0.5, 0.2, 0.7)] == [True, False, True]


def obeying(split):
    """Return prompts whose first word says what to answer; the rest of each is in no other split."""
    fillers = {"train": range(0, 40), "held_out": range(40, 60)}[split]
    return [{"prompt": f"Say {word} to {number}:", "references": [f" {word}"]} for number in fillers for word in ("yes", "no")]


def test_supervision_makes_held_out_references_likelier_and_responses_right():
    options = {"tokenizer": "tinylm", "max_new_tokens": 4, "num_envs": 16}
    env, held_out = (make_env(obeying(split), "feedback.exact_match:ExactMatch", **options) for split in ("train", "held_out"))
    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", reference=None)
    before = reference_nll(policy, held_out, 16), evaluate(held_out, Supervised(policy), 16)[0]["score"]
    train(env, Supervised(policy, SupervisedConfig(learning_rate=2e-3)), 12, 16, keep=False, show=False)
    after = reference_nll(policy, held_out, 16), evaluate(held_out, Supervised(policy), 16)[0]["score"]
    assert before[0]["nll_nats_per_token"] > 4 and before[1] < 0.1
    assert after[0]["nll_nats_per_token"] < 0.3 and after[1] > 0.8
    assert after[0]["perplexity"] == pytest.approx(np.exp(after[0]["nll_nats_per_token"]))


def test_what_learns_from_scores_afterwards_is_held_to_the_supervised_model(tmp_path):
    env = make_env(obeying("train"), tokenizer="tinylm", num_envs=8)
    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", reference=None)
    train(env, Supervised(policy, SupervisedConfig(learning_rate=2e-3)), 2, 8, folder=tmp_path / "run", show=False)
    later = Reinforce(CausalPolicy(str(tmp_path / "run/checkpoints/last"), device="cpu", compute_dtype="float32"))
    rollout = demonstrations(env, 8, seed=5)
    columns = (rollout.tokens, rollout.prompt_lengths, rollout.is_action)
    with torch.no_grad():
        supervised, untrained = (
            each.evaluate(*columns).logprobs
            for each in (policy, CausalPolicy("tinylm", device="cpu", compute_dtype="float32", reference=None))
        )
    torch.testing.assert_close(later.policy.reference_logprobs(*columns), supervised, rtol=0, atol=1e-5)
    assert (supervised - untrained).abs().max() > 1
