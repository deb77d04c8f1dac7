"""Check that the learner scores what the sampler wrote: the same distribution, padded or not, in chunks or whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import CausalPolicy
from agents.policy import logprobs as logprobs_module
from agents.policy.logprobs import ActionMasks
from tests.test_policy_slots import Rows
from tests.tiny_models import WIDTH, tiny_model

LENGTHS, NEW = (3, 9, 1, 6), 7
PARTNER = (2, 3)  # row and column of a token that the agent did not choose


def make_policy(name="llama", **options):
    return CausalPolicy(tiny_model(name), device="cpu", **options)


def write(policy, masks=None):
    """Write NEW tokens in four rows, one of them a partner's, and return what a learner would be given."""
    rows = Rows(policy, 4, columns=max(LENGTHS) + NEW + 3)  # padded more than needed
    for row, length in enumerate(LENGTHS):
        rows.begin(row, rows.draw(length))
    is_action, logprobs, values = np.zeros((4, NEW + 1), dtype=bool), np.zeros((4, NEW + 1)), np.zeros((4, NEW + 1))
    index = np.zeros((4, NEW + 1), dtype=int)
    for _ in range(NEW):
        columns = rows.lengths - LENGTHS
        index[np.arange(4), columns] = columns % 2
        mask = None if masks is None else masks[columns % 2]
        decision = policy.act(rows.observation, rows.memory, rows.fresh.copy(), rows.active, mask)
        rows.fresh[:] = False
        for row in range(4):
            is_action[row, columns[row]] = True
            logprobs[row, columns[row]] = decision.logprobs[row]
            values[row, columns[row]] = 0 if decision.values is None else decision.values[row]
            rows.append(row, [decision.tokens[row]])
            if (row, columns[row]) == (PARTNER[0], PARTNER[1] - 1):
                rows.append(row, [66])
    return (rows.ids, np.array(LENGTHS), is_action), logprobs, values, ActionMasks(masks, index) if masks is not None else None


def some_masks():
    masks = np.random.default_rng(0).random((2, WIDTH)) < 0.3
    masks[:, 70] = True
    return masks


def difference(tensor, array):
    return float(np.abs(tensor.detach().double().numpy() - array).max())


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
@pytest.mark.parametrize(("temperature", "masked"), [(1.0, False), (0.6, False), (0.6, True), (0.0, True)])
def test_the_learner_gives_the_logprobs_that_the_sampler_reported(name, temperature, masked):
    policy = make_policy(name, temperature=temperature, value_head=True)
    torch.nn.init.normal_(policy.value_head.output.weight, generator=torch.Generator().manual_seed(0))
    batch, logprobs, values, masks = write(policy, some_masks() if masked else None)
    assert not batch[2][PARTNER]
    evaluation = policy.evaluate(*batch, masks)
    assert difference(evaluation.logprobs, logprobs) < 5e-6
    assert difference(evaluation.values, values) < 5e-6
    assert np.abs(values).max() > 0.01


def test_a_bfloat16_sampler_is_near_the_learner_and_the_difference_is_no_bias():
    policy = make_policy(compute_dtype="bfloat16")
    batch, logprobs, _, _ = write(policy)
    gap = (policy.evaluate(*batch).logprobs.detach().numpy() - logprobs)[batch[2]]
    assert 0 < np.abs(gap).mean() < 0.05
    assert abs(gap.mean()) < 0.03


def reference_scores(policy, batch, masks=None):
    """Compute log-probabilities and entropies row by row, token by token, in float64."""
    ids, prompt_lengths, is_action = batch
    model = tiny_model().double()
    model.load_state_dict(policy.model.state_dict())
    out = np.zeros((2, *is_action.shape))
    for row, column in zip(*np.nonzero(is_action), strict=True):
        end = prompt_lengths[row] + column
        with torch.no_grad():
            logits = model(input_ids=torch.as_tensor(ids[row : row + 1, :end])).logits[0, -1] / (policy.temperature or 1)
        if masks is not None:
            logits[~torch.as_tensor(masks.table[masks.index[row, column]])] = -torch.inf
        logprobs = torch.log_softmax(logits, -1)
        out[0, row, column] = logprobs[ids[row, end]]
        out[1, row, column] = -torch.nan_to_num(logprobs.exp() * logprobs).sum()
    return out


@pytest.mark.parametrize("masked", [False, True])
def test_scores_equal_those_of_each_prefix_alone(masked):
    policy = make_policy(temperature=0.8)
    batch, _, _, masks = write(policy, some_masks() if masked else None)
    evaluation = policy.evaluate(*batch, masks)
    logprobs, entropy = reference_scores(policy, batch, masks)
    assert difference(evaluation.logprobs, logprobs) < 1e-5
    assert difference(evaluation.entropy, entropy) < 1e-5
    for scores in evaluation[:2]:
        assert not scores[~torch.as_tensor(batch[2])].any(), "zero where no action was chosen"


def test_padding_and_batching_change_nothing():
    policy = make_policy(value_head=True)
    (ids, lengths, is_action), _, _, masks = write(policy, some_masks())
    masks = ActionMasks(masks.table, np.random.default_rng(1).integers(0, 2, is_action.shape))
    together = policy.evaluate(ids, lengths, is_action, masks, exact_kl=True)
    in_chunks = policy.evaluate(ids, lengths, is_action, masks, rows_per_chunk=1, exact_kl=True)
    other_padding = np.where(np.arange(ids.shape[1]) < (lengths + 1 + NEW)[:, None], ids, 17)
    wider = np.pad(other_padding, ((0, 0), (0, 5))), lengths, np.pad(is_action, ((0, 0), (0, 4)))
    padded = policy.evaluate(*wider, ActionMasks(masks.table, np.pad(masks.index, ((0, 0), (0, 4)))), exact_kl=True)
    for whole, chunked, wide in zip(together, in_chunks, padded, strict=True):
        torch.testing.assert_close(whole, chunked, atol=2e-6, rtol=0)
        torch.testing.assert_close(whole, wide[:, : NEW + 1], atol=2e-6, rtol=0)


def test_chunks_over_positions_change_neither_scores_nor_gradients(monkeypatch):
    policy = make_policy(temperature=0.7)
    batch, _, _, masks = write(policy, some_masks())

    def run():
        policy.model.zero_grad()
        evaluation = policy.evaluate(*batch, masks, exact_kl=True)
        (evaluation.logprobs.sum() - 0.3 * evaluation.entropy.sum() + evaluation.kl.sum()).backward()
        return [evaluation.logprobs.detach(), evaluation.entropy.detach(), *(p.grad.clone() for p in policy.parameters())]

    whole = run()
    monkeypatch.setattr(logprobs_module, "CHUNK_ELEMENTS", 3 * WIDTH)
    for one, other in zip(whole, run(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.7, -0.4, 0.0), (0.0, 0.0, 1.0)])
def test_gradients_equal_those_of_the_formulas_written_out(weights):
    """Against autograd through whole [B, T, V] logits."""
    policy = make_policy(temperature=0.9)
    (ids, lengths, is_action), _, _, masks = write(policy, some_masks())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1)  # away from the reference
    evaluation = policy.evaluate(ids, lengths, is_action, masks, exact_kl=True)
    terms = (evaluation.logprobs, evaluation.entropy, evaluation.kl)
    sum(weight * term.sum() for weight, term in zip(weights, terms, strict=True)).backward()
    ours = [p.grad.clone() for p in policy.parameters()]
    policy.model.zero_grad()

    rows, columns = np.nonzero(is_action)
    places = lengths[rows] + columns
    allowed = torch.as_tensor(masks.table[masks.index[rows, columns]])

    def distribution(model):
        logits = model(input_ids=torch.as_tensor(ids)).logits[rows, places - 1] / 0.9
        return torch.log_softmax(logits.masked_fill(~allowed, -1e30), -1)

    logprobs, other = distribution(policy.model), distribution(policy._reference).detach()
    chosen = logprobs.gather(1, torch.as_tensor(ids[rows, places])[:, None])
    kl = (logprobs.exp() * (logprobs - other)).sum(-1)
    assert difference(evaluation.kl[rows, columns], kl.detach().numpy()) < 1e-5
    (weights[0] * chosen.sum() - weights[1] * (logprobs.exp() * logprobs).sum() + weights[2] * kl.sum()).backward()
    for one, parameter in zip(ours, policy.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-4, rtol=1e-3)


def test_logits_of_a_whole_batch_never_exist(monkeypatch):
    """Not in the forward nor in the backward pass, in which they are made again."""
    monkeypatch.setattr(logprobs_module, "CHUNK_ELEMENTS", 5 * WIDTH)
    policy = make_policy()
    batch, *_ = write(policy)
    sizes = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), named=None):
            out = function(*arguments, **(named or {}))
            for tensor in out if isinstance(out, tuple) else (out,):
                if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.shape[-1] == WIDTH and tensor.is_floating_point():
                    sizes.append(tensor.numel() // WIDTH)
            return out

    kept = []
    with Watch(), torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        policy.evaluate(*batch, exact_kl=True).logprobs.sum().backward()
    assert sizes and max(sizes) == 5
    assert not [shape for shape in kept if shape[-1:] == (WIDTH,)], "nothing that wide is kept for the backward pass"


def test_only_states_of_actions_are_projected_to_the_vocabulary():
    policy = make_policy()
    batch, *_ = write(policy)
    rows = []
    policy.model.get_output_embeddings().register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    with torch.no_grad():
        policy.evaluate(*batch)
    assert sum(rows) == batch[2].sum()


def test_dropout_is_off_in_the_learner_as_in_the_sampler():
    model = tiny_model("gpt2", attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
    model.train()
    policy = CausalPolicy(model, device="cpu")
    batch, logprobs, _, _ = write(policy)
    assert difference(policy.evaluate(*batch).logprobs, logprobs) < 5e-6
    policy.model.train()  # as a training loop might
    assert difference(policy.evaluate(*batch).logprobs, logprobs) < 5e-6


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_the_policy_does_not_diverge_from_its_reference_before_an_update(compute_dtype):
    policy = make_policy(compute_dtype=compute_dtype)
    batch, *_ = write(policy)
    evaluation = policy.evaluate(*batch, exact_kl=True)
    assert torch.equal(evaluation.logprobs, policy.reference_logprobs(*batch))
    assert difference(evaluation.kl, 0) < 1e-6


def test_the_reference_does_not_move_with_the_policy():
    policy = make_policy()
    batch, *_ = write(policy)
    before = policy.reference_logprobs(*batch)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.01)
    policy.updated()
    assert torch.equal(policy.reference_logprobs(*batch), before)
    evaluation = policy.evaluate(*batch, exact_kl=True)
    assert difference(evaluation.logprobs, before.numpy()) > 0.01
    assert evaluation.kl[torch.as_tensor(batch[2])].min() > 0, "KL(p || q) is positive where p differs from q"


def test_another_model_can_be_the_reference():
    other = tiny_model(spread=0.2)
    policy = make_policy(reference=other)
    batch, *_ = write(policy)
    expected = CausalPolicy(other, device="cpu").evaluate(*batch).logprobs
    torch.testing.assert_close(policy.reference_logprobs(*batch), expected.detach())


def test_without_a_reference_asking_for_it_is_an_error():
    policy = make_policy(reference=None)
    batch, *_ = write(policy)
    with pytest.raises(ValueError, match="made with reference=None"):
        policy.reference_logprobs(*batch)
    with pytest.raises(ValueError, match="made with reference=None"):
        policy.evaluate(*batch, exact_kl=True)


@pytest.mark.parametrize("trains_trunk", [False, True])
def test_the_value_head_leaves_the_trunk_alone_unless_told_otherwise(trains_trunk):
    policy = make_policy(value_head=True, value_trains_trunk=trains_trunk)
    torch.nn.init.normal_(policy.value_head.output.weight, generator=torch.Generator().manual_seed(0))
    batch, *_ = write(policy)
    policy.evaluate(*batch).values.sum().backward()
    assert all(p.grad is not None for p in policy.value_parameters())
    assert any(p.grad is not None and p.grad.any() for p in policy.parameters()) == trains_trunk


def test_values_start_at_zero():
    policy = make_policy(value_head=True)
    batch, _, values, _ = write(policy)
    assert not policy.evaluate(*batch).values.any() and not values.any()


def test_a_batch_without_actions_has_a_gradient_of_zero():
    policy = make_policy()
    ids, lengths, is_action = write(policy)[0]
    evaluation = policy.evaluate(ids, lengths, np.zeros_like(is_action))
    evaluation.logprobs.sum().backward()
    assert not evaluation.logprobs.any()
    assert not any(p.grad is not None and p.grad.any() for p in policy.parameters())


def test_tensors_are_taken_as_well_as_arrays():
    policy = make_policy()
    batch, *_ = write(policy)
    torch.testing.assert_close(policy.evaluate(*map(torch.as_tensor, batch)).logprobs, policy.evaluate(*batch).logprobs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, lengths, is_action: (ids, lengths * 0, is_action), "prompt_lengths must be at least 1"),
        (lambda ids, lengths, is_action: (ids[:, :12], lengths, is_action), "is_action marks column 15 of tokens, which have 12 columns"),
    ],
)
def test_a_batch_that_cannot_be_is_an_error(change, message):
    policy = make_policy()
    batch, *_ = write(policy)
    with pytest.raises(ValueError, match=message):
        policy.evaluate(*change(*batch))
