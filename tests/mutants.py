"""List bugs to plant, each with the tests that must notice it.

A mutant is one change of text in one file. `tests/test_mutants.py` plants each in a copy of the source tree and requires the named tests to
fail. `tests/mutants.md` says where such bugs were seen.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "tests/test_learning_exact.py"
LEARN = "tests/test_agents_learn.py"
COLLECT = "tests/test_learning_collect.py"
RETURNS = "tests/test_learning_returns.py"
TRAIN = "tests/test_learning_train.py"
CHECKPOINT = "tests/test_learning_checkpoint.py"

REINFORCE_IS_EXACT = f"{EXACT}::test_the_mean_step_of_reinforce_is_the_exact_gradient"


@dataclass(frozen=True)
class Mutant:
    """Hold one planted bug.

    Args:
        name: what the bug is.
        path: the file it is planted in.
        old, new: the text that is replaced, which occurs exactly once, and its replacement.
        killed_by: tests that must fail, each of them.
    """

    name: str
    path: str
    old: str
    new: str
    killed_by: tuple[str, ...]


MUTANTS = (
    Mutant(
        "the end token is hidden from the learner",
        "agents/learning/step.py",
        "return self.rollout.is_action\n",
        "return self.rollout.is_action & np.pad(self.rollout.is_action, ((0, 0), (0, 1)))[:, 1:]\n",
        (REINFORCE_IS_EXACT,),
    ),
    Mutant(
        "padding is trained on",
        "agents/learning/recorder.py",
        "is_action = self.is_action[:, :columns]",
        "is_action = np.ones_like(self.is_action[:, :columns])",
        (REINFORCE_IS_EXACT, f"{COLLECT}::test_a_rollout_holds_what_was_written_and_paid"),
    ),
    Mutant(
        "the mean is over tokens and not over episodes",
        "agents/learning/losses.py",
        "return torch.where(counts, terms, 0.0).sum() / num_episodes",
        "return torch.where(counts, terms, 0.0).sum() / counts.sum()",
        (REINFORCE_IS_EXACT,),
    ),
    Mutant(
        "each response is divided by its length",
        "agents/learning/losses.py",
        "return torch.where(counts, terms, 0.0).sum() / num_episodes",
        "return (torch.where(counts, terms, 0.0).sum(1) / counts.sum(1).clamp(min=1)).sum() / num_episodes",
        (REINFORCE_IS_EXACT,),
    ),
    Mutant(
        "only the last token is credited",
        "agents/reinforce.py",
        "returns = returns_to_go(batch.rewards, is_action, np.zeros(len(batch.rollout)), self.config.discount)",
        "returns = batch.rewards",
        (REINFORCE_IS_EXACT,),
    ),
    Mutant(
        "the context is shifted by one",
        "agents/policy/actions.py",
        "on_device(self._places[1], self.device)",
        "on_device(self._places[1] - 1, self.device)",
        (f"{EXACT}::test_the_mean_step_of_a_language_model_is_the_exact_gradient",),
    ),
    Mutant(
        "the baseline contains the response that it is for",
        "agents/reinforce.py",
        "baseline = leave_one_out_baseline(comparable, everyone, batch.rollout.group)",
        "baseline = mean_baseline(comparable, everyone, batch.rollout.group)",
        (f"{REINFORCE_IS_EXACT}[leave_one_out-2-1.0]",),
    ),
    Mutant(
        "drift from the reference is rewarded",
        "agents/learning/losses.py",
        "rewards - kl_weight * (logprobs - reference_logprobs)",
        "rewards + kl_weight * (logprobs - reference_logprobs)",
        (f"{EXACT}::test_a_penalty_as_reward_gives_the_gradient_of_the_divergence_over_responses",),
    ),
    Mutant(
        "an abstention is a score of zero",
        "agents/reinforce.py",
        "scored = rollout.take(np.flatnonzero(rollout.is_scored))",
        "scored = rollout",
        (f"{LEARN}::test_an_abstention_counts_neither_in_the_loss_nor_in_the_baseline[reinforce, leave one out]",),
    ),
    Mutant(
        "the learner forgets what was allowed",
        "agents/reinforce.py",
        "            rollout.masks,\n",
        "            None,\n",
        (f"{EXACT}::test_the_mean_step_is_exact_under_masks",),
    ),
    Mutant(
        "the discount is left out of the weight of later tokens",
        "agents/reinforce.py",
        "return (returns - baseline) * discount_weights(is_action, self.config.discount)",
        "return returns - baseline",
        (f"{EXACT}::test_the_mean_step_is_exact_where_later_tokens_are_discounted",),
    ),
    Mutant(
        "importance weights are upside down",
        "agents/learning/losses.py",
        "(logprobs.detach() - sampler_logprobs.to(logprobs.dtype)).exp()",
        "(sampler_logprobs.to(logprobs.dtype) - logprobs.detach()).exp()",
        (f"{EXACT}::test_importance_weights_make_up_for_another_sampler",),
    ),
    Mutant(
        "a reward lies one column behind the token that earned it",
        "agents/learning/recorder.py",
        "self.rewards[slots, columns] = rewards[rows]",
        "self.rewards[slots, columns + 1] = rewards[rows]",
        (f"{COLLECT}::test_a_rollout_holds_what_was_written_and_paid",),
    ),
    Mutant(
        "an episode that was cut is worth nothing",
        "agents/learning/collect.py",
        "recorder.bootstrap[recorder.slot[cut]] = last.values[cut]",
        "assert last.values[cut].size",
        (f"{COLLECT}::test_an_episode_cut_from_outside_is_worth_what_the_agent_expects_of_its_last_state",),
    ),
    Mutant(
        "the value is that of the state after the token",
        "agents/learning/returns.py",
        "surprise = rewards[:, column] + discount * next_value - values[:, column]\n        next_advantage",
        "surprise = rewards[:, column] + discount * next_value - next_value\n        next_advantage",
        (
            f"{RETURNS}::test_gae_is_the_weighted_sum_of_surprises",
            f"{EXACT}::test_the_mean_step_of_actor_critic_is_exact_with_exact_values",
        ),
    ),
    Mutant(
        "the critic believes old texts to be the present policy's",
        "agents/learning/returns.py",
        "weight = np.minimum(cap, ratios[:, column])",
        "weight = np.ones(len(ratios))",
        (f"{RETURNS}::test_vtrace_is_the_product_of_capped_ratios_times_surprises",),
    ),
    Mutant(
        "an evaluation draws from the training's random numbers",
        "agents/learning/held_out.py",
        "rollout = collect(env, agent, num_episodes, seed=seed)",
        "rollout = collect(env, agent, num_episodes)",
        (f"{TRAIN}::test_an_evaluation_disturbs_neither_training_nor_agent", f"{TRAIN}::test_an_evaluation_is_the_same_each_time"),
    ),
    Mutant(
        "the optimiser starts anew in a resumed run",
        "agents/learning/checkpoint.py",
        'agent.optimizer.load_state_dict(state["optimizer"])',
        'assert agent.optimizer and state["optimizer"]',
        (f"{TRAIN}::test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted",),
    ),
    Mutant(
        "the sampler is not told that the weights have changed",
        "agents/reinforce.py",
        "        self.policy.updated()\n",
        "",
        (f"{CHECKPOINT}::test_a_loaded_agent_writes_what_the_saved_one_writes",),
    ),
)
