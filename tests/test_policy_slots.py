"""Check the slots of the key-value cache: who lies where, what is fed, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import CausalPolicy
from agents.policy.slots import SlotTable
from tests.tiny_models import WIDTH, tiny_model


class Rows:
    """Stand in for a vector environment: rows that hold tokens, end and begin anew, when the test says so."""

    def __init__(self, policy, num_rows, columns=60, seed=0):
        self.policy, self.memory = policy, policy.start(num_rows, seed=0)
        self.ids = np.full((num_rows, columns), 256)
        self.lengths = np.zeros(num_rows, dtype=int)
        self.fresh, self.active = np.zeros(num_rows, dtype=bool), np.zeros(num_rows, dtype=bool)
        self.generator = np.random.default_rng(seed)

    def begin(self, row, prompt):
        self.ids[row], self.lengths[row] = 256, 0
        self.append(row, prompt)
        self.fresh[row] = self.active[row] = True

    def append(self, row, tokens):
        self.ids[row, self.lengths[row] : self.lengths[row] + len(tokens)] = tokens
        self.lengths[row] += len(tokens)

    def draw(self, length):
        return self.generator.integers(0, 256, length)

    @property
    def observation(self):
        return {"input_ids": self.ids, "attention_mask": (np.arange(self.ids.shape[1]) < self.lengths[:, None]).astype(np.int8)}

    def step(self):
        decision = self.policy.act(self.observation, self.memory, self.fresh.copy(), self.active.copy())
        self.fresh[:] = False
        for row in np.flatnonzero(self.active):
            self.append(row, [decision.tokens[row]])
        return decision


class Fed:
    """Count the tokens that go through a model."""

    def __init__(self, policy):
        self.calls = []
        policy._sampler.model.base_model.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, module, arguments, named):
        self.calls.append(tuple(named["input_ids"].shape))

    def take(self):
        calls, self.calls = self.calls, []
        return calls


def greedy_policy(name="llama", **options):
    return CausalPolicy(tiny_model(name), device="cpu", temperature=0, **options)


def expected_token(policy, ids):
    with torch.no_grad():
        return int(policy.model(input_ids=torch.as_tensor(ids)[None]).logits[0, -1].argmax())


def check_step(rows):
    before, active = [row[:length].copy() for row, length in zip(rows.ids, rows.lengths, strict=True)], rows.active.copy()
    decision = rows.step()
    for row in np.flatnonzero(active):
        assert decision.tokens[row] == expected_token(rows.policy, before[row])
    assert not decision.tokens[~active].any()


def test_a_step_costs_one_token_for_each_row_that_writes():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 8)
    for row in range(6):
        rows.begin(row, rows.draw(5))
    rows.step()
    assert fed.take() == [(6, 5)]
    for ended in range(4):
        rows.active[ended] = False
        rows.step()
        assert fed.take() == [(5 - ended, 1)], "parked rows are not forwarded"


def test_the_cost_of_a_step_does_not_grow_with_finished_episodes():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 3, columns=20)
    seen = set()
    for episode in range(30):
        rows.begin(episode % 3, rows.draw(4))
        rows.step()
        rows.step()
        fed.take()
        rows.step()
        seen |= set(fed.take()) if episode > 3 else set()
    assert seen == {(3, 1)}
    assert all(store.shape[2] <= 32 for store in rows.memory.cache.keys)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "mistral"])
def test_rows_end_begin_and_receive_turns_in_any_order(name):
    """A random sequence of events; every token must be what a full forward pass over that row alone gives."""
    policy = greedy_policy(name)
    rows = Rows(policy, 5)
    for _ in range(40):
        for row in range(5):
            event = rows.generator.random()
            if not rows.active[row] and event < 0.5:
                rows.begin(row, rows.draw(rows.generator.integers(1, 9)))
            elif rows.active[row] and (event < 0.1 or rows.lengths[row] > 45):
                rows.active[row] = False
            elif rows.active[row] and event < 0.2:
                rows.begin(row, rows.draw(3))  # a new episode in the same step
            elif rows.active[row] and event < 0.4 and not rows.fresh[row]:
                rows.append(row, rows.draw(rows.generator.integers(1, 5)))  # a partner's turn
        if rows.active.any():
            check_step(rows)


def test_a_partners_turn_is_fed_whole_and_once():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 3)
    for row in range(3):
        rows.begin(row, rows.draw(5))
    rows.step()
    rows.append(1, rows.draw(6))
    fed.take()
    check_step(rows)
    assert sorted(fed.take()) == [(1, 7), (2, 1)]


def test_a_prompt_that_rows_share_is_fed_once():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 6)
    prompt, other = rows.draw(5), rows.draw(5)
    for row in range(6):
        rows.begin(row, other if row == 3 else prompt)
    check_step(rows)
    assert fed.take() == [(2, 5)]
    check_step(rows)
    rows.append(0, [1])
    rows.append(4, [2])
    check_step(rows)


def test_prompts_of_very_different_lengths_are_fed_apart():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 12)
    for row in range(12):
        rows.begin(row, rows.draw(40 if row in (2, 7) else 3 + row % 2))
    check_step(rows)
    assert sorted(fed.take()) == [(2, 40), (10, 4)]
    check_step(rows)


def test_the_end_token_inside_a_prompt_is_a_token_like_any_other():
    """The pad id equals the end token; only counts say what is padding."""
    policy = greedy_policy()
    rows = Rows(policy, 3)
    rows.begin(0, [65, 66, 256])
    rows.begin(1, [65, 66])
    rows.begin(2, [256, 65, 256])
    for _ in range(3):
        check_step(rows)


def test_slots_in_use_have_no_holes():
    table = SlotTable(6)
    everyone = np.ones(6, dtype=bool)
    table.seat(everyone, everyone)
    table.held[:] = [1, 2, 3, 4, 5, 6]
    active = np.array([False, True, False, True, True, True])
    sources, targets = table.seat(np.zeros(6, dtype=bool), active)
    assert sorted(table.rows.tolist()) == [1, 3, 4, 5]
    assert dict(zip(table.rows.tolist(), table.held.tolist(), strict=True)) == {1: 2, 3: 4, 4: 5, 5: 6}
    assert sorted(targets.tolist()) == [0, 2] and sorted(sources.tolist()) == [4, 5]


def test_a_row_without_a_new_token_is_an_error_that_names_it():
    policy = greedy_policy()
    rows = Rows(policy, 2)
    rows.begin(1, [65, 66])
    rows.step()
    rows.lengths[1] -= 1
    with pytest.raises(ValueError, match="row 1 holds 2 tokens, of which the policy has already seen 2"):
        rows.step()


def test_a_row_longer_than_the_model_reads_is_an_error_that_says_both_lengths():
    policy = CausalPolicy(tiny_model(max_position_embeddings=16), device="cpu")
    rows = Rows(policy, 2)
    rows.begin(1, rows.draw(17))
    with pytest.raises(ValueError, match="row 1 holds 17 tokens and the model reads at most 16"):
        rows.step()


def test_a_model_with_a_table_of_positions_is_filled_to_its_last_one():
    policy = CausalPolicy(tiny_model("gpt2", n_positions=12, max_position_embeddings=12), device="cpu", temperature=0)
    rows = Rows(policy, 3, columns=12)
    for row, length in enumerate((2, 11, 12)):
        rows.begin(row, rows.draw(length))
    decision = policy.act(rows.observation, rows.memory, rows.fresh, rows.active)
    for row in range(3):
        assert decision.tokens[row] == expected_token(policy, rows.ids[row, : rows.lengths[row]])


def test_a_turn_beside_a_longer_one_does_not_reach_beyond_the_table_of_positions():
    policy = CausalPolicy(tiny_model("gpt2", n_positions=12, max_position_embeddings=12), device="cpu", temperature=0)
    rows = Rows(policy, 2, columns=12)
    rows.begin(0, rows.draw(9))
    rows.begin(1, rows.draw(2))
    check_step(rows)
    rows.append(0, rows.draw(1))
    rows.append(1, rows.draw(6))
    check_step(rows)


def test_nothing_is_forwarded_when_no_row_writes():
    policy = greedy_policy()
    fed, rows = Fed(policy), Rows(policy, 2)
    decision = rows.step()
    assert fed.take() == []
    assert decision.tokens.tolist() == [0, 0] and decision.logprobs.tolist() == [0.0, 0.0]


def test_the_vocabulary_is_the_models():
    assert greedy_policy().width == WIDTH
