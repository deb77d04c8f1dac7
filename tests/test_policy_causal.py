"""Check the promises of CausalPolicy that are about neither speed nor numbers: seeds, versions, masks, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from agents import CausalPolicy
from tests.test_policy_slots import Rows
from tests.tiny_models import WIDTH, tiny_model
from text_env.tokens import load_tokens


def write(policy, seed=None, steps=10, num_rows=3, action_mask=None):
    """Return the tokens [steps, rows] that a memory with this seed leads to."""
    rows = Rows(policy, num_rows)
    rows.memory = policy.start(num_rows, seed)
    for row in range(num_rows):
        rows.begin(row, [65, 66, 67])
    out = []
    for _ in range(steps):
        decision = policy.act(rows.observation, rows.memory, rows.fresh.copy(), rows.active, action_mask)
        rows.fresh[:] = False
        out.append(decision.tokens)
        for row in range(num_rows):
            rows.append(row, [decision.tokens[row]])
    return np.array(out)


def make_policy(**options):
    return CausalPolicy(tiny_model(), device="cpu", **options)


def test_a_seed_decides_what_is_written():
    policy = make_policy()
    assert (write(policy, seed=1) == write(make_policy(), seed=1)).all()
    assert (write(policy, seed=1) != write(policy, seed=2)).any()


def test_memories_without_a_seed_differ_and_follow_from_the_policys_seed():
    first, second = (lambda policy: [write(policy) for _ in range(2)]), make_policy(seed=5)
    one, two = first(second), first(make_policy(seed=5))
    assert (one[0] != one[1]).any()
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all()
    assert (write(make_policy(seed=6)) != one[0]).any()


def test_a_memory_with_a_seed_does_not_disturb_those_without():
    disturbed, undisturbed = make_policy(), make_policy()
    write(disturbed, seed=9)
    assert (write(disturbed) == write(undisturbed)).all()


def test_memories_do_not_disturb_each_other():
    """An evaluation in the middle of a rollout."""
    policy = make_policy()
    alone = write(policy, seed=3)
    rows = Rows(policy, 3)
    rows.memory = policy.start(3, seed=3)
    for row in range(3):
        rows.begin(row, [65, 66, 67])
    for step in range(10):
        write(policy, seed=step, steps=2)
        assert (rows.step().tokens == alone[step]).all()


def test_only_allowed_tokens_are_written_and_their_probabilities_sum_to_one():
    policy = make_policy()
    mask = np.zeros((3, WIDTH), dtype=bool)
    mask[0, [5, 9]], mask[1, 256], mask[2, 100:120] = True, True, True
    tokens = write(policy, steps=30, action_mask=mask)
    assert set(tokens[:, 0]) == {5, 9} and set(tokens[:, 1]) == {256}
    assert set(tokens[:, 2]) <= set(range(100, 120))
    rows = Rows(policy, 3)
    for row in range(3):
        rows.begin(row, [65])
    decision = policy.act(rows.observation, rows.memory, rows.fresh, rows.active, mask)
    assert decision.logprobs[1] == pytest.approx(0, abs=1e-6), "the only token allowed has probability 1"


def test_greedy_reports_the_logprob_at_temperature_one():
    policy = make_policy(temperature=0)
    rows = Rows(policy, 1)
    rows.begin(0, [65, 66])
    decision = rows.step()
    with torch.no_grad():
        logprobs = torch.log_softmax(policy.model(input_ids=torch.tensor([[65, 66]])).logits[0, -1], -1)
    assert decision.logprobs[0] == pytest.approx(float(logprobs.max()), abs=1e-5)


def test_a_memory_from_before_an_update_is_refused():
    policy = make_policy()
    rows = Rows(policy, 1)
    rows.begin(0, [65])
    rows.step()
    policy.updated()
    assert policy.version == 1
    with pytest.raises(ValueError, match="started before the policy's weights changed"):
        rows.step()


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_after_an_update_the_sampler_writes_with_the_new_weights(compute_dtype):
    policy, other = (
        make_policy(compute_dtype=compute_dtype),
        CausalPolicy(tiny_model(spread=0.2), device="cpu", compute_dtype=compute_dtype),
    )
    with torch.no_grad():
        for ours, theirs in zip(policy.parameters(), other.parameters(), strict=True):
            ours.copy_(theirs)
    policy.updated()
    assert (write(policy, seed=1) == write(other, seed=1)).all()


def test_a_loaded_policy_goes_on_as_the_saved_one():
    saved = make_policy(value_head=True, seed=3)
    with torch.no_grad():
        for parameter in (*saved.parameters(), *saved.value_parameters()):
            parameter.mul_(1.2)
    saved.updated()
    write(saved)
    state = copy.deepcopy(saved.state_dict())
    loaded = make_policy(value_head=True, seed=3)
    memory = loaded.start(1)
    loaded.load_state_dict(state)
    assert loaded.version == saved.version == 1
    assert (write(saved) == write(loaded)).all()
    rows = Rows(loaded, 1)
    rows.begin(0, [65])
    rows.memory = memory
    with pytest.raises(ValueError, match="weights changed"):
        rows.step()


def test_a_state_with_a_value_head_does_not_fit_a_policy_without():
    with pytest.raises(ValueError, match="the saved policy has a value head and this one has no value head"):
        make_policy().load_state_dict(make_policy(value_head=True).state_dict())


def test_construction_leaves_the_pretrained_weights_as_they_are():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    policy = CausalPolicy(model, device="cpu", value_head=True, compute_dtype="bfloat16")
    write(policy)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.model.state_dict().items())
    assert policy.model.config._attn_implementation == "sdpa"


def test_another_number_of_actions_than_logits_is_an_error_with_both_numbers():
    policy = make_policy()
    with pytest.raises(ValueError, match=r"the environment has 300 actions and the model 257 logits: .*vocab_size=257"):
        write(policy, action_mask=np.ones((3, 300), dtype=bool))


def test_surplus_logits_are_an_error_unless_they_are_masked():
    tokens = load_tokens("bytes")
    policy = CausalPolicy(tiny_model(vocab_size=300), tokens=tokens, device="cpu")
    with pytest.raises(ValueError, match="the environment has 257 actions and the model 300 logits"):
        write(policy)
    mask = np.tile(np.arange(300) < 257, (3, 1))
    assert write(policy, action_mask=mask).max() < 257


def test_a_mask_that_allows_nothing_is_an_error_that_names_the_row():
    mask = np.ones((3, WIDTH), dtype=bool)
    mask[1] = False
    with pytest.raises(ValueError, match="the action mask of row 1 allows no token"):
        write(make_policy(), action_mask=mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.5}, "temperature must be 0 .* got -0.5"),
        ({"temperature": float("nan")}, "temperature must be 0 .* got nan"),
        ({"dtype": "int8"}, "dtype must be one of float32, .* got 'int8'"),
        ({"compute_dtype": "half"}, "dtype must be one of float32, .* got 'half'"),
        ({"dtype": "float64"}, "the model's weights are float32, and dtype is float64"),
    ],
)
def test_options_that_cannot_be_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make_policy(**options)


def test_a_reference_with_another_vocabulary_is_an_error():
    with pytest.raises(ValueError, match="the reference has 300 logits and the policy 257"):
        make_policy(reference=tiny_model(vocab_size=300))


def test_a_memory_for_another_number_of_rows_is_an_error():
    policy = make_policy()
    rows = Rows(policy, 2)
    rows.memory = policy.start(3)
    with pytest.raises(ValueError, match="started for 3 rows and the observation has 2"):
        rows.step()
    with pytest.raises(ValueError, match="num_rows must be at least 1, got 0"):
        policy.start(0)
