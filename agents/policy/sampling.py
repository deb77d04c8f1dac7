"""Draw one token per row from logits over a large vocabulary.

torch.multinomial over 64 rows of 49,152 tokens takes longer than the model that made them. Here the probabilities are
summed in blocks, one uniform number chooses a block, and only that block is searched: the same distribution, from one
pass over the probabilities.
"""

from __future__ import annotations

import torch

_BLOCK = 256  # tokens; near the square root of common vocabulary sizes
_ROWS_AT_ONCE = 16  # on the CPU: the probabilities of more rows take memory, and time to be given it


def draw_tokens(logits: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token per row from softmax(logits) by inverting the cumulative distribution.

    Args:
        logits: [n, V], of any floating dtype; -inf where a token may not be chosen. At least one per row is finite.
        uniforms: [n] in [0, 1), one number per row; float64 resolves tokens that float32 would never draw.

    Returns: tokens [n] int64 and their log-probabilities [n] float32, nats. A token without probability is never
    returned, whatever the rounding.
    """
    rows = _ROWS_AT_ONCE if logits.device.type == "cpu" else max(1, len(logits))
    parts = [_draw_tokens(some, theirs) for some, theirs in zip(torch.split(logits, rows), torch.split(uniforms, rows), strict=True)]
    tokens, logprobs = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def _draw_tokens(logits: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token for each of some rows; see `draw_tokens`."""
    probabilities = torch.softmax(logits.float(), -1)
    width = probabilities.shape[1]
    num_whole = width // _BLOCK
    block_sums = probabilities[:, : num_whole * _BLOCK].reshape(len(logits), num_whole, _BLOCK).sum(-1)
    if num_whole * _BLOCK < width:
        block_sums = torch.cat([block_sums, probabilities[:, num_whole * _BLOCK :].sum(-1, keepdim=True)], 1)
    block, rest = _invert(block_sums, uniforms)
    columns = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=logits.device)
    inside = probabilities.gather(1, columns.clamp(max=width - 1)).masked_fill_(columns >= width, 0.0)
    offset, _ = _invert(inside, rest)
    tokens = block * _BLOCK + offset
    return tokens, probabilities.gather(1, tokens[:, None]).squeeze(1).log()


def best_tokens(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row's most probable token [n] and its log-probability [n] under softmax(logits)."""
    precise = logits.float()
    tokens = precise.argmax(-1)
    return tokens, torch.log_softmax(precise, -1).gather(1, tokens[:, None]).squeeze(1)


def mix_with_uniform(logits: torch.Tensor, epsilon: float, is_greedy: bool = False) -> torch.Tensor:
    """Return log-probabilities [n, V] of a distribution that explores: (1 - epsilon) * softmax(logits) + epsilon / num_allowed.

    Args:
        logits: [n, V], of any floating dtype; -inf where a token may not be chosen.
        epsilon: between 0 and 1.
        is_greedy: the most probable token in the place of softmax(logits).
    """
    precise = logits if logits.dtype == torch.float64 else logits.float()
    allowed = precise > -torch.inf
    own = torch.softmax(precise, -1)
    if is_greedy:
        own = torch.zeros_like(own).scatter_(1, own.argmax(-1, keepdim=True), 1.0)
    return ((1 - epsilon) * own + epsilon * allowed / allowed.sum(-1, keepdim=True)).log()


def _invert(weights: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose index i with probability weights[i] / sum by a uniform number, and return it with a fresh uniform number.

    The place of the number inside the chosen weight's interval is uniform again, so one number serves two searches.
    """
    ends = weights.to(uniforms.dtype).cumsum(-1)
    total = ends[:, -1:]
    # strictly below the total, so that the search ends at a weight that is positive even where u * total rounds up to it
    target = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(ends, target, right=True)
    end, weight = ends.gather(1, index), weights.to(uniforms.dtype).gather(1, index)
    rest = 1 - (end - target) / weight
    return index.squeeze(1), rest.clamp_(0, 1).squeeze(1)
