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

ESTIMATORS = "tests/test_agents_estimators.py"
KL_CONTROL = "tests/test_learning_kl_control.py"
TREE = "tests/test_exact_tree.py"
LISTING = "tests/test_policy_listing.py"
INTERVALS = "tests/test_benchmarks_intervals.py"
COMPARE = "tests/test_benchmarks_compare.py"
SHAPING = "tests/test_feedback_shaping.py"
DRIFTING = "tests/test_feedback_drifting.py"

QUEUE = "tests/test_study_queue.py"
ANSWERS = "tests/test_encoding_answers.py"
LATE = "tests/test_learning_late.py"

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
    Mutant(
        "the ratio compares a policy with itself",
        "agents/learning/losses.py",
        "ratio = (logprobs - old_logprobs).exp()",
        "ratio = (logprobs - logprobs.detach()).exp()",
        (f"{ESTIMATORS}::test_a_ratio_that_is_always_one_would_be_seen",),
    ),
    Mutant(
        "PPO's ratio is against the sampler",
        "agents/ppo.py",
        "gains = clipped_gains(now.logprobs, old_logprobs,",
        "gains = clipped_gains(now.logprobs, like(rollout.logprobs, now.logprobs),",
        (f"{ESTIMATORS}::test_a_sampler_of_another_precision_is_made_up_for_by_weights_and_not_by_the_ratio",),
    ),
    Mutant(
        "the clip takes the larger gain",
        "agents/learning/losses.py",
        "return torch.minimum(ratio * advantages,",
        "return torch.maximum(ratio * advantages,",
        (f"{ESTIMATORS}::test_the_gradient_of_a_token_is_zero_where_it_has_gone_far_enough_and_whole_where_it_comes_back",),
    ),
    Mutant(
        "clipped share and divergence are measured before the steps",
        "agents/ppo.py",
        "measure_update(batch, look(self.policy, batch), config.clip",
        "measure_update(batch, old, config.clip",
        (f"{ESTIMATORS}::test_divergence_and_ratios_of_an_update_are_those_between_the_policies_before_and_after_it",),
    ),
    Mutant(
        "a minibatch divides by the episodes of the whole batch",
        "agents/learning/step.py",
        "yield replace(taken, num_episodes=len(rows), num_tokens=int(taken.rollout.is_action.sum()))",
        "yield taken",
        (f"{ESTIMATORS}::test_minibatches_hold_every_episode_once_with_its_own_numbers_in_an_order_that_the_generator_decides",),
    ),
    Mutant(
        "a step is taken however far the policy has gone",
        "agents/learning/step.py",
        'if measured.get("update_kl_nats_per_token", 0.0) <= stop_kl:\n',
        "if True:\n",
        (f"{ESTIMATORS}::test_a_step_from_a_policy_that_has_gone_too_far_is_not_taken",),
    ),
    Mutant(
        "the penalty's controller compares nats per token",
        "agents/ppo.py",
        'self.kl.observe(metrics["kl_nats_per_response"]',
        'self.kl.observe(metrics["kl_nats_per_token"]',
        (f"{KL_CONTROL}::test_an_agent_compares_nats_per_response_with_its_target",),
    ),
    Mutant(
        "the controller's error is not clipped",
        "agents/learning/kl_control.py",
        "error = min(max(kl_nats_per_response / self.target - 1.0, -LARGEST_ERROR), LARGEST_ERROR)",
        "error = kl_nats_per_response / self.target - 1.0",
        (f"{KL_CONTROL}::test_the_weight_moves_by_the_relative_error_and_by_a_fifth_of_itself_at_most",),
    ),
    Mutant(
        "RLOO's baseline contains the response itself",
        "agents/rloo.py",
        "baseline = leave_one_out_baseline(returns, np.ones(len(returns), dtype=bool), batch.rollout.group)",
        "baseline = np.full(len(returns), returns.mean())",
        (f"{ESTIMATORS}::test_the_mean_step_of_rloo_is_the_exact_gradient_with_the_divergence_inside_the_reward",),
    ),
    Mutant(
        "the order of minibatches is not saved",
        "agents/ppo.py",
        'self.shuffling.set_state(state["shuffling"])',
        "pass",
        (f"{ESTIMATORS}::test_an_agent_that_is_restored_gives_the_numbers_of_one_that_went_on",),
    ),
    Mutant(
        "GRPO divides by the deviation although told not to",
        "agents/learning/groups.py",
        "    if not divide_by_std:\n",
        "    if divide_by_std is None:\n",
        (f"{ESTIMATORS}::test_the_mean_step_of_grpo_is_the_exact_gradient_but_for_the_share_of_the_others_in_a_group",),
    ),
    Mutant(
        "a policy of the tree goes on after an end token",
        "text_env/exact/tree.py",
        "going_on = np.where(self.is_state[here], visits[..., here], 0.0)",
        "going_on = visits[..., here]",
        (f"{TREE}::test_the_visits_of_responses_are_their_probabilities",),
    ),
    Mutant(
        "the exact penalty has the wrong sign",
        "text_env/exact/tree.py",
        "following = following - penalty[..., here, :]",
        "following = following + penalty[..., here, :]",
        (f"{TREE}::test_the_objective_is_the_mean_score_less_the_penalty_summed_over_responses",),
    ),
    Mutant(
        "the regularised optimum forgets the reference",
        "text_env/exact/tree.py",
        "lambda here, following: kl_weight * _log_sum_exp(reference_logprobs[..., here, :] + following / kl_weight)",
        "lambda here, following: kl_weight * _log_sum_exp(following / kl_weight)",
        (f"{TREE}::test_the_regularised_optimum_is_the_tilted_reference",),
    ),
    Mutant(
        "a shared prefix is counted once for every response through it",
        "agents/policy/listing.py",
        "once = np.where(is_first[part][..., None], weights[number, nodes[part]], 0.0)",
        "once = weights[number, nodes[part]]",
        (f"{LISTING}::test_the_exact_gradient_is_that_of_the_sum_over_all_responses",),
    ),
    Mutant(
        "the exact gradient leaves out how often a prefix is met",
        "agents/policy/listing.py",
        "weights = visits * np.exp(ours)",
        "weights = np.exp(ours)",
        (f"{LISTING}::test_the_exact_gradient_is_that_of_the_sum_over_all_responses",),
    ),
    Mutant(
        "the brackets task pairs a closing bracket with a later opening one",
        "text_env/exact/enumerated.py",
        "pairs = closes & (opened > 0)",
        "pairs = closes",
        ("tests/test_exact_tasks.py::test_every_response_has_the_score_that_its_rule_says",),
    ),
    Mutant(
        "soft Q-learning does not teach the policy",
        "agents/learning/path_consistency.py",
        "earned = rewards - kl_weight * log_ratios",
        "earned = rewards - kl_weight * log_ratios.detach()",
        ("tests/test_agents_soft_q.py::test_a_step_follows_the_gradient_of_the_written_out_loss_for_policy_and_values",),
    ),
    Mutant(
        "uniform tokens are mixed in over those that are masked too",
        "agents/policy/sampling.py",
        "epsilon * allowed / allowed.sum(-1, keepdim=True)",
        "epsilon / allowed.shape[1]",
        ("tests/test_agents_soft_q.py::test_uniform_tokens_are_mixed_in_and_the_logprobs_are_those_of_the_mixture",),
    ),
    Mutant(
        "a path that was cut is worth nothing",
        "agents/soft_q.py",
        "like(rollout.bootstrap, now.logprobs)",
        "0 * like(rollout.bootstrap, now.logprobs)",
        ("tests/test_agents_soft_q.py::test_a_path_that_was_cut_from_outside_ends_in_the_value_expected_there",),
    ),
    Mutant(
        "DPO forgets its reference",
        "agents/online_dpo.py",
        "now - batch.reference_logprobs",
        "now",
        (
            "tests/test_agents_preferences.py::test_with_soft_labels_dpo_rests_at_the_regularised_optimum_whoever_wrote_and_elsewhere_it_does_not",
        ),
    ),
    Mutant(
        "DPO compares abstentions as if they had scored 0",
        "agents/online_dpo.py",
        "scored = rollout.take(np.flatnonzero(rollout.is_scored))",
        "scored = rollout",
        ("tests/test_agents_preferences.py::test_an_abstention_is_compared_with_nothing",),
    ),
    Mutant(
        "expert iteration imitates one of equals",
        "agents/expert_iteration.py",
        "np.flatnonzero(told_apart(worth, scored.group))",
        "np.arange(len(scored))",
        ("tests/test_agents_preferences.py::test_the_mean_step_of_expert_iteration_is_towards_the_best_of_n",),
    ),
    Mutant(
        "an abstention can be the best of n",
        "agents/learning/best_of_n.py",
        "scored = np.flatnonzero(written.is_scored)",
        "scored = np.arange(len(written))",
        ("tests/test_best_of_n.py::test_a_group_without_any_score_has_no_best",),
    ),
    Mutant(
        "the interval counts a value too many",
        "benchmarks/intervals.py",
        "half = t_quantile((1 + confidence) / 2, n - 1)",
        "half = t_quantile((1 + confidence) / 2, n)",
        (f"{INTERVALS}::test_95_percent_of_intervals_hold_the_truth",),
    ),
    Mutant(
        "the number of seeds forgets the power",
        "benchmarks/intervals.py",
        "(t_quantile((1 + confidence) / 2, n - 1) + t_quantile(power, n - 1))",
        "t_quantile((1 + confidence) / 2, n - 1)",
        (f"{INTERVALS}::test_the_number_of_pairs_tells_in_80_percent_of_experiments_and_much_fewer_do_not",),
    ),
    Mutant(
        "the verdict names the worse side",
        "benchmarks/compare.py",
        "f\"{'A' if score.sign > 0 else 'B'} is better",
        "f\"{'A' if score.sign < 0 else 'B'} is better",
        (f"{COMPARE}::test_the_verdict_names_the_better_side_and_turns_with_the_sides",),
    ),
    Mutant(
        "the side is part of its training seed",
        "benchmarks/paired_runs.py",
        "seed=seed_of(job.seed, TRAINING, update)",
        "seed=seed_of(job.seed, TRAINING, update + len(job.name + str(job.side.agent)))",
        (f"{COMPARE}::test_both_sides_of_a_pair_are_given_the_same_prompts_and_begin_alike_whatever_the_agents",),
    ),
    Mutant(
        "every seed is evaluated on the same prompts",
        "benchmarks/paired_runs.py",
        "setting.evaluation_episodes, seed=seed_of(job.seed, EVALUATION))",
        "setting.evaluation_episodes, seed=seed_of(0, EVALUATION))",
        (f"{COMPARE}::test_both_sides_of_a_pair_are_given_the_same_prompts_and_begin_alike_whatever_the_agents",),
    ),
    Mutant(
        "a failed seed leaves the exit status 0",
        "benchmarks/compare.py",
        "    return 1 if failures else 0",
        "    return 0",
        (f"{COMPARE}::test_a_seed_that_failed_is_reported_and_the_others_are_compared",),
    ),
    Mutant(
        "differences are taken across pairs",
        "benchmarks/compare.py",
        "mean_interval([a - b for a, b in values])",
        "mean_interval([a - b for (a, _), (_, b) in zip(values, values[::-1], strict=True)])",
        (f"{COMPARE}::test_what_a_seed_does_to_both_sides_is_no_part_of_their_difference",),
    ),
    Mutant(
        "a checkpoint is trained",
        "benchmarks/paired_runs.py",
        "job.setting.num_updates if job.side.is_trained else 0",
        "job.setting.num_updates",
        (f"{COMPARE}::test_a_checkpoint_is_measured_without_training",),
    ),
    Mutant(
        "truncation is not told to Stable-Baselines3",
        "agents/stable_baselines/vec_env.py",
        "bool(truncated[row] and not terminated[row])",
        "False",
        ("tests/test_sb3_vec_env.py::test_an_abstention_is_a_truncation_and_pays_nothing",),
    ),
    Mutant(
        "a longer state is taken for the continuation of the row's text",
        "agents/stable_baselines/language_policy.py",
        " & ((ids == self.ids) | ~is_stored).all(axis=1)",
        "",
        ("tests/test_sb3_policy.py::test_what_is_cached_gives_what_a_policy_without_a_cache_gives",),
    ),
    Mutant(
        "keys and values of older weights are kept",
        "agents/stable_baselines/language_policy.py",
        " or writer.version != policy.version",
        "",
        ("tests/test_sb3_policy.py::test_keys_and_values_of_older_weights_are_forgotten",),
    ),
    Mutant(
        "the penalty is taken twice",
        "agents/stable_baselines/penalty.py",
        "everywhere, self.kl.weight)",
        "everywhere, 2 * self.kl.weight)",
        ("tests/test_sb3_policy.py::test_the_penalty_is_taken_once_and_the_score_stays_raw",),
    ),
    Mutant(
        "advantages are those from before the penalty",
        "agents/stable_baselines/penalty.py",
        "buffer.compute_returns_and_advantage(last_values, model._last_episode_starts)",
        "assert last_values is not None",
        ("tests/test_sb3_policy.py::test_advantages_are_those_of_the_charged_rewards",),
    ),
    Mutant(
        "one episode's reward is credited to the next one",
        "agents/stable_baselines/sb3_agent.py",
        "np.append(True, is_last[:-1])",
        "False",
        ("tests/test_sb3_agents.py::test_episodes_in_the_buffer_are_apart_and_cut_ones_are_worth_their_value",),
    ),
    Mutant(
        "a diagnosis reads held-out responses",
        "agents/learning/diagnosis.py",
        '[line for line in responses if line["split"] == "train"]',
        '[line for line in responses if line["split"] != "train"]',
        ("tests/test_diagnosis.py::test_a_run_that_was_broken_on_purpose_is_told_its_fault[noisy_score]",),
    ),
    Mutant(
        "a diagnosis begins with the mildest finding",
        "agents/learning/diagnosis.py",
        "key=lambda finding: finding.severity)",
        "key=lambda finding: -finding.severity)",
        ("tests/test_diagnosis.py::test_the_most_severe_finding_comes_first",),
    ),
    Mutant(
        "values explain more than everything",
        "agents/learning/step.py",
        "1 - advantages.var() / returns.var()",
        "1 + advantages.var() / returns.var()",
        ("tests/test_diagnosis.py::test_an_update_measures_the_spread_of_advantages_and_what_values_explain",),
    ),
    Mutant(
        "check_agent takes any ratio",
        "agents/checking/learning_promises.py",
        "abs(seen - expected) > 0.05 * expected",
        "abs(seen - expected) > 5.0 * expected",
        ("tests/test_agent_check.py::test_a_broken_agent_is_told_what_it_did_what_was_expected_and_the_way_out",),
    ),
    Mutant(
        "check_agent compares no abstentions",
        "agents/checking/learning_promises.py",
        "2 == 0)\n    silent",
        "2 <= 1)\n    silent",
        ("tests/test_agent_check.py::test_a_broken_agent_is_told_what_it_did_what_was_expected_and_the_way_out",),
    ),
    Mutant(
        "shaping keeps the potential at the end",
        "feedback/shaping.py",
        "else next(scores) - (was - next(p_start))",
        "else next(scores)",
        (f"{SHAPING}::test_the_mean_step_of_reinforce_is_still_the_exact_gradient_of_the_score",),
    ),
    Mutant(
        "an abstention becomes 0 under shaping",
        "feedback/shaping.py",
        "    if score is None:\n        raise",
        "    if score is None:\n        return 0.0\n        raise",
        (f"{SHAPING}::test_an_abstention_is_an_error_that_says_the_way_out",),
    ),
    Mutant(
        "redistribution reads padding",
        "agents/learning/redistribution.py",
        "after = np.where(here, risen[:, column], after)",
        "after = risen[:, column]",
        ("tests/test_learning_redistribution.py::test_each_token_is_paid_what_it_raised_and_the_last_what_is_missing",),
    ),
    Mutant(
        "a resumed run forgets the drift",
        "agents/learning/run_folder.py",
        'load_feedback_state(env, kept.pop("feedback", ()))',
        'kept.pop("feedback", ())',
        (f"{DRIFTING}::test_a_run_that_is_resumed_in_the_middle_of_the_drift_is_like_one_that_was_not_interrupted",),
    ),
    Mutant(
        "a cut update counts",
        "agents/learning/train.py",
        "run.keep(agent, progress, judged, is_best=False)",
        "run.keep(agent, progress, feedback_state(env), is_best=False)",
        (f"{DRIFTING}::test_episodes_that_were_judged_in_an_update_that_was_cut_do_not_count",),
    ),
    Mutant(
        "the oldest rollout weighs most",
        "agents/soft_q.py",
        "zip(range(len(self.replay), 0, -1), self.replay, strict=True)",
        "zip(range(1, len(self.replay) + 1), self.replay, strict=True)",
        (f"{DRIFTING}::test_an_earlier_rollout_moves_the_values_by_its_age",),
    ),
    Mutant(
        "a question goes out however many hold it",
        "feedback/study/queueing.py",
        "_NUM_OUT + questions.c.num_counted < questions.c.wanted",
        "questions.c.num_counted < questions.c.wanted",
        (f"{QUEUE}::test_two_people_are_not_asked_the_same_unless_two_answers_are_wanted",),
    ),
    Mutant(
        "a person is asked again what they answered",
        "feedback/study/queueing.py",
        "questions.c.only_for == _PERSON), ~_ANSWERED)",
        "questions.c.only_for == _PERSON))",
        (f"{QUEUE}::test_as_many_people_answer_as_are_wanted_and_nobody_twice",),
    ),
    Mutant(
        "a changed answer under a used key is taken for the first",
        "feedback/study/queueing.py",
        "return _same(stored, said)",
        "return stored",
        (f"{QUEUE}::test_the_same_key_is_one_answer_and_a_changed_answer_under_it_is_refused",),
    ),
    Mutant(
        "a skip counts as an answer",
        "feedback/study/records.py",
        "COUNTED = OPINIONS | {Outcome.ABSTAIN}",
        "COUNTED = OPINIONS | {Outcome.ABSTAIN, Outcome.SKIP}",
        (f"{QUEUE}::test_a_skip_keeps_its_reason_is_no_label_and_sends_the_question_to_somebody_else",),
    ),
    Mutant(
        "writers of two processes begin as readers",
        "feedback/study/database.py",
        '"BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"',
        '"BEGIN"',
        ("tests/test_study_store.py::test_four_processes_lose_nothing_and_say_nothing_twice",),
    ),
    Mutant(
        "both bad is a tie",
        "feedback/encoding/answers.py",
        '(name, -1.0, "none was acceptable")',
        '(name, 0.0, "none was acceptable")',
        (f"{ANSWERS}::test_a_tie_lies_in_the_middle_and_both_bad_at_the_end",),
    ),
    Mutant(
        "what was not ranked lies in the middle",
        "feedback/encoding/answers.py",
        '(None, "was not ranked")',
        '(0.0, "was not ranked")',
        (f"{ANSWERS}::test_a_passage_that_was_left_out_of_a_ranking_has_no_value",),
    ),
    Mutant(
        "silence is a score of 0",
        "feedback/people.py",
        "numbers = [encoded.value for encoded in said if encoded.value is not None]",
        "numbers = [encoded.value or 0.0 for encoded in said]",
        ("tests/test_people.py::test_an_abstention_and_a_skip_are_no_score",),
    ),
    Mutant(
        "a late score lands in another episode",
        "agents/learning/late.py",
        "append((row, judgement))",
        "append((0, judgement))",
        (f"{LATE}::test_each_late_score_is_put_where_its_episode_is_and_each_episode_is_used_once",),
    ),
    Mutant(
        "a group is learned from in parts",
        "agents/learning/late.py",
        "return ~is_open[number] & ~part.is_taken",
        "return part.is_settled & ~part.is_taken",
        (f"{LATE}::test_a_group_is_learned_from_as_a_whole",),
    ),
    Mutant(
        "an old response waits for ever",
        "agents/learning/late.py",
        "> self.source.max_age:",
        "> 1_000_000:",
        (f"{LATE}::test_what_was_written_too_many_updates_ago_is_given_up",),
    ),
    Mutant(
        "the word of a form is not looked at",
        "feedback/page/visitors.py",
        'if request.method == "POST" and not hmac',
        'if request.method == "GET" and not hmac',
        ("tests/test_page_requests.py::test_a_form_without_its_sessions_word_is_refused",),
    ),
    Mutant(
        "what a model wrote is markup",
        "feedback/page/screens.py",
        "autoescape=True",
        "autoescape=False",
        ("tests/test_page_requests.py::test_markup_in_a_text_is_shown_as_text",),
    ),
    Mutant(
        "an invitation can be used again",
        "feedback/study/access.py",
        "connection.execute(delete(invitations).where(invitations.c.token_hash == row.token_hash))",
        "pass",
        ("tests/test_page_requests.py::test_an_invitation_is_used_up_by_its_button_and_not_by_a_preview",),
    ),
    Mutant(
        "constant ratings agree perfectly",
        "feedback/aggregation/agreement.py",
        """    if len(values) < 2:
        return None""",
        """    if len(values) < 2:
        return 1.0""",
        ("tests/test_agreement.py::test_perfect_agreement_is_one_and_constant_ratings_are_undefined",),
    ),
    Mutant(
        "simulated noise follows the side on which a text is shown",
        "feedback/simulated/keyed_noise.py",
        "columns = np.sort(self.contents, axis=1).T",
        "columns = self.contents.T",
        ("tests/test_simulated_noise.py::test_swapping_sides_changes_nothing_for_who_has_no_bias",),
    ),
    Mutant(
        "two pairs that share a text share their noise",
        "feedback/simulated/keyed_noise.py",
        "return fold(self._of_set(part)[:, None], self.contents)",
        "return fold(self.annotator, text_word(part), self.contents)",
        ("tests/test_simulated_noise.py::test_pairs_of_one_prompt_are_judged_apart_even_where_they_share_a_response",),
    ),
    Mutant(
        "a simulated person without an opinion says nought",
        "feedback/simulated/annotator.py",
        "return Replies(codes, np.where(codes == ANSWERED, value, np.nan), felt, seconds)",
        "return Replies(codes, np.where(codes == ANSWERED, value, 0.0), felt, seconds)",
        ("tests/test_simulated_noise.py::test_no_opinion_is_an_abstention_and_never_a_number",),
    ),
    Mutant(
        "what is worth nothing is judged without noise",
        "feedback/simulated/utility_parts.py",
        "spread = self.fixed + self.relative * np.abs(utilities)",
        "spread = (self.fixed + self.relative) * np.abs(utilities)",
        ("tests/test_simulated_noise.py::test_a_noise_model_comes_out_as_often_as_its_formula_says",),
    ),
    Mutant(
        "residuals of real raters are drawn at a mean that contains them",
        "feedback/simulated/empirical_people.py",
        'shown.draws.normals("mean of ten")',
        "0.0",
        ("tests/test_simulated_people.py::test_a_panel_of_vader_human_agrees_as_the_real_raters_do",),
    ),
    Mutant(
        "a pair without a verdict is a tie",
        "feedback/compared.py",
        "judged = ~np.isnan(values)",
        "values = np.nan_to_num(values, nan=0.5)\n        judged = ~np.isnan(values)",
        ("tests/test_simulated_people.py::test_a_response_without_a_verdict_abstains",),
    ),
    Mutant(
        "a flip turns ties into preferences",
        "feedback/simulated/annotator.py",
        "np.where(codes == TIE, 0.5, np.where",
        "np.where((codes == TIE) & (felt[:, 0] == felt[:, 1]), 0.5, np.where",
        ("tests/test_simulated_noise.py::test_a_noise_model_comes_out_as_often_as_its_formula_says",),
    ),
    Mutant(
        "the second person of one seed is the first of the next",
        "feedback/simulated/population.py",
        "[self.seed, number]",
        "[self.seed + number]",
        ("tests/test_simulated_people.py::test_a_larger_population_begins_with_the_same_people_and_a_seed_makes_others",),
    ),
    Mutant(
        "errors that fall are taken for a change",
        "feedback/learned/change_detection.py",
        "gap = (sums[-1] - sums[before - 1]) / after - sums[before - 1] / before",
        "gap = np.abs((sums[-1] - sums[before - 1]) / after - sums[before - 1] / before)",
        ("tests/test_change_detection.py::test_errors_that_fall_are_no_change",),
    ),
    Mutant(
        "noise turns ties round",
        "benchmarks/overoptimisation/noisy_labels.py",
        "right = np.where(difference == 0, TIE, (difference > 0).astype(np.float64))",
        "right = (difference > 0).astype(np.float64)",
        ("tests/test_overoptimisation.py::test_equal_responses_are_a_tie_however_noisy",),
    ),
    Mutant(
        "a training that fails is called over-optimised",
        "benchmarks/overoptimisation/points.py",
        "return self.fall.n > 1 and self.fall.low > 0 and self.rise.low > 0",
        "return self.fall.n > 1 and self.fall.low > 0",
        ("tests/test_overoptimisation.py::test_nothing_else_is_called_so",),
    ),
    Mutant(
        "Bradley-Terry stops after two steps",
        "feedback/aggregation/bradley_terry.py",
        "        if np.abs(gradient).max(initial=0.0) <= enough:",
        "        if step == 2 or np.abs(gradient).max(initial=0.0) <= enough:",
        (
            "tests/test_aggregation_bradley_terry.py::test_what_three_items_are_worth_is_what_the_likelihood_says_and_not_where_two_steps_end",
        ),
    ),
    Mutant(
        "an annotator's gradient is that of the last answer alone",
        "feedback/aggregation/annotator_aware.py",
        "    by_score = graph.net(for_first - (for_first + for_second) * beats)",
        "    by_score = graph.net((for_first - (for_first + for_second) * beats) * (np.arange(len(beats)) == len(beats) - 1))",
        ("tests/test_aggregation_annotators.py::test_the_gradient_is_that_of_the_log_posterior_and_adds_up_over_all_answers_of_a_person",),
    ),
    Mutant(
        "dropped annotators are counted",
        "feedback/aggregation/annotator_aware.py",
        "np.where(found.is_inverted[comparisons.annotator], 0.0, comparisons.weight)",
        "comparisons.weight",
        ("tests/test_aggregation_annotators.py::test_who_turned_the_scale_round_is_found_and_used_reversed_or_dropped",),
    ),
    Mutant(
        "classes may change their names",
        "feedback/aggregation/dawid_skene.py",
        "    return prevalence[order], confusion[:, order]",
        "    return prevalence, confusion",
        ("tests/test_aggregation_labels.py::test_classes_keep_their_names_however_the_search_begins",),
    ),
    Mutant(
        "a tie is broken the same way for every unit",
        "feedback/aggregation/majority.py",
        "repr((seed, labels.units[unit], labels.classes[number]))",
        "repr((seed, labels.classes[number]))",
        ("tests/test_aggregation_labels.py::test_a_tie_is_broken_by_the_seed_and_the_names_and_by_nothing_else",),
    ),
    Mutant(
        "nobody else is left out with whoever turned the scale round",
        "feedback/aggregation/annotator_detection.py",
        "given = beside(earlier | left_out)",
        "given = beside(frozenset())",
        ("tests/test_aggregation_detection.py::test_two_who_turned_the_scale_round_make_nobody_else_look_inverted",),
    ),
    Mutant(
        "information is plain uncertainty",
        "feedback/selection/informativeness.py",
        "_entropy(chances.mean(axis=0)) - _entropy(chances).mean(axis=0)",
        "_entropy(chances.mean(axis=0))",
        ("tests/test_selection.py::test_a_tie_on_which_all_agree_is_worth_nothing_and_one_on_which_they_differ_is",),
    ),
    Mutant(
        "what is kept for evaluation is asked",
        "feedback/selection/question_choice.py",
        "np.flatnonzero(~is_kept & (pairs",
        "np.flatnonzero((pairs",
        ("tests/test_selection.py::test_some_pairs_are_kept_for_evaluation_in_every_round_and_never_chosen",),
    ),
    Mutant(
        "all members of an ensemble learn from the same answers",
        "feedback/learned/heads.py",
        "counts = np.bincount(generator.integers(len(counts), size=len(counts)), minlength=len(counts)).astype(np.float64)",
        "counts = np.ones(len(counts))",
        ("tests/test_reward_heads.py::test_the_members_of_an_ensemble_differ_and_each_is_the_same_for_the_same_seed",),
    ),
    Mutant(
        "the deviation stands for the variance",
        "feedback/learned/conservative.py",
        "return np.asarray(((said - _mean(said)) ** 2).mean(axis=0))",
        "return np.asarray(said.std(axis=0))",
        ("tests/test_reward_heads.py::test_ensembles_are_combined_as_the_formulas_say",),
    ),
    Mutant(
        "a reward model reads the padding",
        "feedback/learned/reward_network.py",
        "last = (start[:, 0] + lengths - 1).to(device)",
        "last = torch.full((len(rows),), ids.shape[1] - 1, device=device)",
        ("tests/test_reward_network.py::test_features_depend_on_neither_padding_nor_its_side_nor_the_batch",),
    ),
    Mutant(
        "positions begin at 0 for every architecture",
        "feedback/learned/reward_network.py",
        "return 0 if padding is None else int(padding) + 1",
        "return 0",
        ("tests/test_reward_network.py::test_the_state_is_that_of_the_last_token_which_the_plain_model_gives_it",),
    ),
    Mutant(
        "a loss against flips is biased",
        "feedback/learned/reward_losses.py",
        "return ((1 - eps) * meant - eps * turned) / (1 - 2 * eps)",
        "return (1 - eps) * meant - eps * turned",
        ("tests/test_reward_losses.py::test_over_all_flips_the_unbiased_loss_has_the_mean_of_the_clean_one",),
    ),
    Mutant(
        "each pair of a ranking weighs as much as a comparison",
        "feedback/learned/evidence.py",
        "ranking.weight / comb(ranking.size, 2), ranking.time)",
        "ranking.weight, ranking.time)",
        ("tests/test_reward_evidence.py::test_a_ranking_weighs_one_judgement_whatever_its_length",),
    ),
    Mutant(
        "both bad is a tie to learn from",
        "feedback/learned/evidence_sources.py",
        "answer.outcome is not Outcome.ALL_BAD:",
        "answer.outcome is not None:",
        ("tests/test_reward_evidence.py::test_both_bad_is_no_tie_but_two_bad_ratings",),
    ),
    Mutant(
        "people are asked more than may wait",
        "feedback/refitted.py",
        "room = self.most_waiting - self._num_open()",
        "room = self.most_waiting",
        ("tests/test_refitted.py::test_people_are_never_left_with_more_questions_than_may_wait",),
    ),
    Mutant(
        "a sealed answer can be changed",
        "feedback/page/sealing.py",
        "if not hmac.compare_digest(mark, self._mark(body)):",
        "if not mark:",
        ("tests/test_page_pictures.py::test_what_was_seen_cannot_be_changed_nor_confirmed_as_something_that_was_heard",),
    ),
    Mutant(
        "a sealed answer is taken for the next question",
        "feedback/page/sealing.py",
        'if (said.pop("lease"), said.pop("person")) != (showing.lease.id, visit.person.id):',
        'if (said.pop("lease"), said.pop("person")) is None:',
        ("tests/test_page_pictures.py::test_a_word_is_not_taken_for_the_next_question",),
    ),
    Mutant(
        "whoever signs out keeps their question",
        "feedback/page/entrance.py",
        "    desk.queue.give_back_held(visit.person)\n",
        "",
        ("tests/test_page_requests.py::test_whoever_signs_out_gives_back_the_question_that_they_held",),
    ),
    Mutant(
        "every address takes a file",
        "feedback/page/gate.py",
        "return request.url.path in self.uploads",
        "return bool(self.uploads)",
        ("tests/test_page_speech.py::test_no_other_address_takes_a_file",),
    ),
    Mutant(
        "a training's curve is read once",
        "feedback/page/run_metrics.py",
        "seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)",
        "seen = (found.st_dev, found.st_ino)",
        ("tests/test_page_learning_curve.py::test_a_reload_shows_what_was_written_since",),
    ),
    Mutant(
        "many updates are drawn as every so-manieth",
        "feedback/page/score_picture.py",
        "sum(e.score for e in part) / len(part)",
        "part[0].score",
        ("tests/test_page_learning_curve.py::test_of_many_updates_neighbours_are_drawn_as_their_mean",),
    ),
)
