"""Check that tokens are drawn from exactly the distribution that the logits define."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.policy.sampling import best_tokens, draw_tokens

WIDTHS = [2, 255, 256, 257, 1000, 49152]


def logits_of(width, rows=1, spread=3.0, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * spread


def uniforms(count, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_draw(logits, uniform):
    """Invert the cumulative distribution, over the same order of tokens, in float64."""
    ends = torch.softmax(logits.double(), -1).cumsum(-1)
    return int(torch.searchsorted(ends / ends[-1], uniform, right=True).clamp(max=len(logits) - 1))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_token_is_drawn_as_often_as_its_probability_says(width):
    """Chi-square of many draws, tokens that are expected less than 10 times put together."""
    draws = 20_000 if width < 2000 else 4_000
    logits = logits_of(width)
    tokens = torch.cat([draw_tokens(logits.expand(500, -1), uniforms(500, seed))[0] for seed in range(draws // 500)])
    expected = torch.softmax(logits[0].double(), -1).numpy() * draws
    counts = np.bincount(tokens.numpy(), minlength=width)
    common = expected >= 10
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    degrees = max(common.sum() - (0 if wanted[-1] > 0 else 1), 1)
    statistic = ((observed - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum()
    assert statistic < degrees + 5 * np.sqrt(2 * degrees), "five standard deviations of the chi-square distribution"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_block_search_finds_what_a_search_through_all_tokens_finds(width):
    logits = logits_of(width, rows=50)
    us = uniforms(50)
    tokens, _ = draw_tokens(logits, us)
    agree = [int(token) == slow_draw(row, u) for token, row, u in zip(tokens, logits, us, strict=True)]
    assert sum(agree) >= 49  # float32 and float64 may part at the border of two tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_logprob_is_that_of_the_distribution_drawn_from(dtype):
    logits = logits_of(1000, rows=30).to(dtype)
    tokens, logprobs = draw_tokens(logits, uniforms(30))
    expected = torch.log_softmax(logits.double(), -1).gather(1, tokens[:, None]).squeeze(1)
    torch.testing.assert_close(logprobs.double(), expected, atol=2e-6, rtol=0)
    assert logprobs.dtype == torch.float32


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_a_token_without_probability_is_never_drawn(uniform, precision):
    """Also not by numbers at the edge of [0, 1), nor where almost every token is masked, at either end of a block."""
    for allowed in ([0], [256], [255], [999], [3, 600], [511, 512], list(range(256, 512))):
        logits = torch.full((1, 1000), -torch.inf)
        logits[0, allowed] = logits_of(len(allowed), seed=1)[0]
        token, logprob = draw_tokens(logits, torch.tensor([uniform], dtype=precision))
        assert int(token) in allowed
        assert torch.isfinite(logprob).all()


def test_a_row_does_not_depend_on_its_neighbours():
    logits, us = logits_of(700, rows=40), uniforms(40)
    together, _ = draw_tokens(logits, us)
    alone = torch.cat([draw_tokens(logits[row : row + 1], us[row : row + 1])[0] for row in range(40)])
    torch.testing.assert_close(together, alone)


def test_the_best_token_is_the_first_of_the_most_probable():
    logits = torch.tensor([[0.0, 2.0, 2.0, -torch.inf], [5.0, 1.0, 1.0, 1.0]])
    tokens, logprobs = best_tokens(logits)
    assert tokens.tolist() == [1, 0]
    expected = torch.log_softmax(logits, -1).gather(1, tokens[:, None]).squeeze(1)
    torch.testing.assert_close(logprobs, expected)
