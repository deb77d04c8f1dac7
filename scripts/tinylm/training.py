"""Train the tiny model on single texts, keep checkpoints, and measure its perplexity.

One row is one text that starts at position 0, as a prompt does in the environment, and ends with the end token; half of the
rows begin with the end token as a start mark. Rows of similar length share a batch, padded on the right, so that no text sees
another and little of the work is padding.
Master weights are float32; autocast to bfloat16 where it is faster. Left out: dropout, because the weights see each text only a few times.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from .vocabulary import model_config

IntArray = npt.NDArray[np.int64]
IGNORED = -100  # the label that cross_entropy leaves out


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Hold the settings of one training run."""

    seed: int = 0
    epochs: int = 8  # passes over the training texts
    tokens_per_batch: int = 4096  # padding included
    learning_rate: float = 3e-3  # peak; falls to a tenth by half a cosine
    warmup_batches: int = 100
    weight_decay: float = 0.1  # on matrices only
    clip: float = 1.0  # largest norm of the gradient
    bfloat16: bool = True  # autocast; False = float32 throughout
    batches_per_checkpoint: int = 100
    max_minutes: float = 60.0  # the learning rate follows whichever of the epochs and the minutes is used up faster


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[IntArray]:
    """Encode each text and put the end token behind it."""
    return [np.array([*encoding.ids, 0], dtype=np.int64) for encoding in tokenizer.encode_batch(list(texts))]


def epoch_batches(rows: Sequence[IntArray], tokens_per_batch: int, generator: np.random.Generator) -> list[list[int]]:
    """Return the row numbers of each batch of one epoch: rows of similar length together, ties and batches in random order."""
    lengths = np.array([len(row) for row in rows])
    order = np.lexsort((generator.permutation(len(rows)), lengths + generator.integers(0, 4, len(rows))))
    batches: list[list[int]] = [[]]
    longest = 0
    for number in order.tolist():
        longest = max(longest, int(lengths[number]) + 1)
        if batches[-1] and longest * (len(batches[-1]) + 1) > tokens_per_batch:
            batches.append([])
            longest = int(lengths[number]) + 1
        batches[-1].append(number)
    return [batches[i] for i in generator.permutation(len(batches)).tolist()]


def pad_rows(rows: Sequence[IntArray], has_start: Sequence[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels [B, L], right-padded, with the start mark in front where asked for.

    Labels are one token ahead, and IGNORED on padding.
    """
    full = [np.concatenate(([0], row)) if start else row for row, start in zip(rows, has_start, strict=True)]
    longest = max(len(row) for row in full)
    inputs = torch.zeros(len(full), longest - 1, dtype=torch.int64)
    labels = torch.full((len(full), longest - 1), IGNORED)
    for i, row in enumerate(full):
        inputs[i, : len(row) - 1] = torch.from_numpy(row[:-1])
        labels[i, : len(row) - 1] = torch.from_numpy(row[1:])
    return inputs, labels


def token_loss(model: LlamaForCausalLM, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the summed cross-entropy in nats of the labels that are not IGNORED.

    No mask is needed: causal attention never looks at the padding on the right.
    """
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
    is_label = labels != IGNORED
    return cross_entropy(model.lm_head(hidden[is_label]).float(), labels[is_label], reduction="sum")


@torch.no_grad()
def perplexity(model: LlamaForCausalLM, rows: Sequence[IntArray]) -> float:
    """Return exp of the mean cross-entropy over every token behind a text's first, the end token included, without a start mark."""
    nats, count = 0.0, 0
    for start in range(0, len(rows), 64):
        inputs, labels = pad_rows(rows[start : start + 64], [False] * len(rows[start : start + 64]))
        nats += float(token_loss(model, inputs, labels))
        count += int((labels != IGNORED).sum())
    return math.exp(nats / count)


def new_model(seed: int) -> LlamaForCausalLM:
    """Initialise the model from a seed and leave the global generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(model_config())
    # with grouped heads on a processor, eager attention trained 1.5 times as many tokens a second as sdpa
    model.set_attn_implementation("eager")
    return model


def new_optimizer(model: LlamaForCausalLM, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and leaves the norms alone."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95))


def learning_rate(config: TrainingConfig, batch: int, progress: float) -> float:
    """Return the rate after a linear warm-up, at `progress` (0 to 1) along half a cosine down to a tenth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.learning_rate * min(1.0, (batch + 1) / config.warmup_batches) * (0.1 + 0.9 * cosine)


def batches_from(rows: Sequence[IntArray], config: TrainingConfig, skip: int) -> Iterator[tuple[int, float, torch.Tensor, torch.Tensor]]:
    """Yield (batch number, share of the epochs, inputs, labels) behind the first `skip` batches.

    Each epoch has a generator of its own, so that a restart finds its place at once.
    """
    number = 0
    for epoch in range(config.epochs):
        generator = np.random.default_rng([config.seed, epoch])
        batches = epoch_batches(rows, config.tokens_per_batch, generator)
        starts = generator.random(len(rows)) < 0.5
        for i, batch in enumerate(batches):
            if number >= skip:
                yield (
                    number,
                    (epoch + i / len(batches)) / config.epochs,
                    *pad_rows([rows[j] for j in batch], [bool(starts[j]) for j in batch]),
                )
            number += 1


@dataclass(slots=True)
class Checkpoint:
    """Hold what a restart needs; `seconds` is the training time so far."""

    batch: int
    seconds: float
    model: dict[str, torch.Tensor]
    optimizer: dict[str, object]


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read the checkpoint at a path, or return None where there is none."""
    return Checkpoint(**torch.load(path, weights_only=True)) if path.exists() else None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint beside its place and move it there, so that a kill leaves the old one whole."""
    partial = path.with_suffix(".partial")
    torch.save({name: getattr(checkpoint, name) for name in Checkpoint.__slots__}, partial)
    partial.replace(path)


def save_weights(model: LlamaForCausalLM, folder: Path) -> None:
    """Write model.safetensors in bfloat16 into the folder that holds config.json.

    The output matrix is the input matrix and not written twice.
    """
    weights = {name: value.to(torch.bfloat16).contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    partial = folder / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # written private, but an installed package is read by others
    partial.replace(folder / "model.safetensors")


def train_step(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor, config: TrainingConfig
) -> tuple[float, int]:
    """Take one optimiser step on the mean loss of the labels; return the summed loss in nats and the number of labels."""
    count = int((labels != IGNORED).sum())
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        loss = token_loss(model, inputs, labels)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss / count)
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    return float(loss.detach()), count


def train_model(
    rows: Sequence[IntArray],
    held_out: Sequence[IntArray],
    config: TrainingConfig,
    checkpoint_path: Path,
    folder: Path,
    report: Callable[[str], None] = print,
) -> LlamaForCausalLM:
    """Train, or go on from the checkpoint; at each checkpoint write the weights to the folder and report the held-out perplexity.

    The result is the same for the same settings and number of threads, unless the minutes are used up faster than the epochs.
    """
    model = new_model(config.seed)
    optimizer = new_optimizer(model, config)
    done, before = 0, 0.0
    checkpoint = load_checkpoint(checkpoint_path)
    if checkpoint is not None:
        model.load_state_dict(checkpoint.model)
        optimizer.load_state_dict(checkpoint.optimizer)
        done, before = checkpoint.batch, checkpoint.seconds
        report(f"goes on at batch {done}")
    started = time.monotonic() - before
    nats, count = 0.0, 0

    def keep(epochs: float) -> None:
        minutes = (time.monotonic() - started) / 60
        save_checkpoint(checkpoint_path, Checkpoint(done, 60 * minutes, model.state_dict(), optimizer.state_dict()))
        save_weights(model, folder)
        loss, unseen = nats / max(count, 1), perplexity(model, held_out)
        report(f"batch {done}: {epochs:.2f} epochs, {minutes:.1f} min, training loss {loss:.3f} nats, held-out perplexity {unseen:.2f}")

    share = 0.0
    for number, share, inputs, labels in batches_from(rows, config, done):
        progress = max(share, (time.monotonic() - started) / 60 / config.max_minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, number, progress)
        loss, tokens = train_step(model, optimizer, inputs, labels, config)
        nats, count, done = nats + loss, count + tokens, number + 1
        if done % config.batches_per_checkpoint == 0:
            keep(share * config.epochs)
            nats, count = 0.0, 0
    keep(share * config.epochs)
    return model
