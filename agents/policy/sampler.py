"""Keep a copy of a model for writing: the same weights, in the precision and layout in which a step is fastest."""

from __future__ import annotations

import copy
import functools
import platform

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from agents.policy.architecture import use_slot_attention

_ROWS = 64  # the batch size for which oneDNN lays weights out; others work too
_LARGE = 2**19  # weights from which oneDNN beats the default library in float32; below, the call costs more than it saves


class Sampler:
    """Hold a model to write with, which shares modules with no other model and what weights it can with its source.

    Where the precision is the source's, all weights are the source's own tensors. Else the matrices are rounded, and on
    x86 processors laid out once for oneDNN, which otherwise does so at every call; embeddings are rounded when they are read.

    Args:
        source: the model that learns.
        dtype: precision to write in.
    """

    def __init__(self, source: PreTrainedModel, dtype: torch.dtype) -> None:
        self.dtype = dtype
        embeddings = {id(m): RoundedEmbedding(m, dtype) for m in source.modules() if type(m) is nn.Embedding}
        linears = {id(m): OneDnnLinear(m, dtype) for m in source.modules() if type(m) is nn.Linear and _profits(m, dtype)}
        self._linears = list(linears.values())
        replaced = {id(m): m for m in source.modules() if id(m) in embeddings or id(m) in linears}
        kept = {id(p): p for m in source.modules() if id(m) not in replaced for p in m.parameters(recurse=False)}
        self._pairs = [(_rounded(p, dtype), p) for p in kept.values()]
        memo = {id(p): own for own, p in self._pairs} | {id(b): b for b in source.buffers()} | embeddings | linears
        self.model: PreTrainedModel = copy.deepcopy(source, memo)
        self.model.train(False)
        use_slot_attention(self.model)

    def refresh(self) -> None:
        """Take over the source's present weights."""
        with torch.no_grad():
            for own, theirs in self._pairs:
                if own is not theirs:
                    own.copy_(theirs)
            for linear in self._linears:
                linear.refresh()


class OneDnnLinear(nn.Module):
    """Compute a linear layer by oneDNN, with the source's weights or with a rounded copy in oneDNN's own layout.

    Args:
        source: the layer whose weights are used.
        dtype: precision of the product.
    """

    def __init__(self, source: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple, so that its parameters do not count as this module's
        self._dtype = dtype
        self.in_features, self.out_features = source.in_features, source.out_features
        self.refresh()

    def refresh(self) -> None:
        """Take over the source's present weights."""
        (source,) = self._source
        weight, bias = source.weight.detach(), source.bias
        self._weight = weight if weight.dtype == self._dtype else _laid_out(weight.to(self._dtype))
        self._bias = None if bias is None else bias.detach().to(self._dtype)

    @property
    def weight(self) -> torch.Tensor:
        """Return the weights in use; T5 reads their dtype."""
        return self._weight

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map [..., in_features] to [..., out_features], without gradient."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(values, self._weight, self._bias, "none", [], "")
        return product


class RoundedEmbedding(nn.Module):
    """Look embeddings up in the source's table and round them.

    Args:
        source: the table.
        dtype: precision of the result.
    """

    def __init__(self, source: nn.Embedding, dtype: torch.dtype) -> None:
        super().__init__()
        self._source = (source,)
        self._dtype = dtype

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return one vector per id."""
        return functional.embedding(ids, self._source[0].weight).to(self._dtype)


def _profits(linear: nn.Linear, dtype: torch.dtype) -> bool:
    """Say whether oneDNN computes a linear layer faster than the default library."""
    if linear.weight.device.type != "cpu" or not onednn_packs(dtype):
        return False
    return linear.weight.dtype != dtype or linear.weight.numel() >= _LARGE


@functools.cache
def onednn_packs(dtype: torch.dtype) -> bool:
    """Try whether this build of torch has oneDNN's linear layer on this processor, for this precision."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (is_x86 and has_onednn and dtype in (torch.float32, torch.bfloat16)):
        return False
    weight, values = torch.eye(32, dtype=dtype), torch.ones(2, 32, dtype=dtype)
    try:
        product = torch.ops.mkldnn._linear_pointwise(values, _laid_out(weight), None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return bool(torch.equal(product, values))


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return packed


def _rounded(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    if parameter.dtype == dtype:
        return parameter
    return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
