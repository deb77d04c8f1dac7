"""Let a transformers causal language model be the policy of Stable-Baselines3's PPO and A2C, and of MaskablePPO.

Stable-Baselines3 gives a policy single states, without saying which row they belong to or where an episode begins. While it collects, a
row's keys and values are kept and used again if the new state begins with the stored one; else the row starts anew. While it learns, states
that are prefixes of each other go through the model together (see merging.py).

Left out: a learning rate schedule of the value head's own (it is a multiple of the policy's), and gSDE, which is for continuous actions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.common.utils import get_device

from agents.policy.architecture import hidden_states, project
from agents.policy.causal import CausalPolicy
from agents.policy.logprobs import hide_masked
from agents.stable_baselines.merging import MergedActions

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
LARGEST_FLOAT_ID = 2**24  # Stable-Baselines3 keeps actions as float32, which holds whole numbers up to here
ROWS_PER_PASS = 64  # texts that go through the model at a time where no gradient is needed


class CausalLMPolicy(ActorCriticPolicy):
    """Choose the next token by a causal language model: `PPO(CausalLMPolicy, TextGenVecEnv(...), policy_kwargs={"model": "tinylm"})`.

    The pretrained weights are taken as they are: nothing of Stable-Baselines3 initialises them. A saved model holds weights and names, no
    pickled model; what it is compared with is loaded again by its name.

    Masks reach it from MaskablePPO, which keeps them as float32: 4 x steps x rows x vocabulary bytes, 403 MB for 32 steps of 64 rows over
    49,152 tokens. Nothing here makes such an array; without masks PPO has none.

    Args:
        model: "tinylm", "smollm2", a hub id or a folder; a name, never an object.
        reference: what divergence is measured from: "initial" (the weights of `model`), another name, or None.
        temperature: divides the logits, when writing and when learning; above 0.
        compute_dtype: precision of matrix products. Below float32 the sampler and the learner differ, and with them the first ratio from 1.
        value_trains_trunk: let the value's gradient reach the language model.
        critic_rate: learning rate of the value head over that of the language model.
        device: where the model is loaded; it goes to the algorithm's device if that is another.
        seed: of the tokens that are drawn and of the value head. None takes it from the action space, which the algorithm's seed decides.
        optimizer_class, optimizer_kwargs: as in every policy of Stable-Baselines3; unless given, Adam's eps is 1e-8, as our agents'.

    Raises ValueError where the environment is none of ours, or has another number of tokens than the model.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        use_sde: bool = False,
        *,
        model: str = "tinylm",
        reference: str | None = "initial",
        temperature: float = 1.0,
        compute_dtype: str = "float32",
        value_trains_trunk: bool = False,
        critic_rate: float = 1.0,
        device: str = "auto",
        seed: int | None = None,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        _check_names(model=model, reference=reference)
        if use_sde or not temperature > 0 or not critic_rate > 0:
            raise ValueError(
                f"use_sde must be False and temperature and critic_rate above 0, got {use_sde}, {temperature} and {critic_rate}"
            )
        self.options: dict[str, Any] = {
            "model": model,
            "reference": reference,
            "temperature": temperature,
            "compute_dtype": compute_dtype,
            "value_trains_trunk": value_trains_trunk,
            "critic_rate": critic_rate,
            "device": device,
            "seed": seed,
        }
        if optimizer_kwargs is None and optimizer_class is torch.optim.Adam:
            optimizer_kwargs = {"eps": 1e-8}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            ortho_init=False,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        """Load the language model, and make the value head and the optimiser."""
        options = {name: value for name, value in self.options.items() if name != "critic_rate"}
        if options["seed"] is None:
            options["seed"] = int(self.action_space.np_random.integers(2**31))
        options["device"] = get_device(options["device"])
        self.causal = CausalPolicy(**options, value_head=True)
        _check_spaces(self.observation_space, self.action_space, self.causal.width)
        self.language_model = self.causal.model
        self.value_head = self.causal.value_head
        critic_rate = self.options["critic_rate"]
        groups = [{"params": list(self.causal.parameters())}, {"params": list(self.causal.value_parameters())}]
        self.optimizer = self.optimizer_class(groups, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

        def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            optimizer.param_groups[1]["lr"] *= critic_rate  # Stable-Baselines3 sets one rate for all groups before it learns

        def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            optimizer.param_groups[1]["lr"] /= critic_rate
            self._weights_changed = True

        self.optimizer.register_step_pre_hook(before)
        self.optimizer.register_step_post_hook(after)
        self._weights_changed = False
        self._writers: dict[str, _Writer] = {}

    def forward(  # type: ignore[override]
        self, obs: Mapping[str, torch.Tensor], deterministic: bool = False, action_masks: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Choose a token for each state, at the cost of one token where the state continues one that was seen before.

        Returns: tokens [B], values [B, 1], log-probabilities [B].
        """
        return self._write("collecting", obs, deterministic, action_masks)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False, action_masks: Any = None) -> torch.Tensor:
        """Choose as `forward` does, with keys and values of its own, so that an evaluation does not disturb the collecting."""
        assert isinstance(observation, Mapping)
        return self._write("predicting", observation, deterministic, action_masks)[0]

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Choose a token for each state of a vector environment, or for that of a single one."""
        tensors, is_vectorized = self.obs_to_tensor(observation)
        with torch.no_grad():
            actions = self._predict(tensors, deterministic, action_masks).cpu().numpy()
        return (actions if is_vectorized else actions[0]), state

    def evaluate_actions(  # type: ignore[override]
        self, obs: Mapping[str, torch.Tensor], actions: torch.Tensor, action_masks: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Score actions that were taken, with gradient: values [B, 1], log-probabilities [B], entropies [B]."""
        ids, lengths = _states(obs)
        merged = MergedActions.of(ids, lengths, _whole(actions), _masks(action_masks, len(ids), self.causal.width))
        now = self.causal.evaluate(merged.tokens, merged.prompt_lengths, merged.is_action, merged.masks)
        assert now.values is not None
        place = (torch.from_numpy(merged.rows), torch.from_numpy(merged.columns))
        return now.values[place][:, None], now.logprobs[place], now.entropy[place]

    def predict_values(self, obs: Mapping[str, torch.Tensor]) -> torch.Tensor:  # type: ignore[override]
        """Return what each state is expected to earn: [B, 1]."""
        ids, lengths = _states(obs)
        merged = MergedActions.of(ids, lengths, np.zeros(len(ids), dtype=np.int64))
        now = self.causal.evaluate(merged.tokens, merged.prompt_lengths, merged.is_action, rows_per_chunk=ROWS_PER_PASS)
        assert now.values is not None
        return now.values[torch.from_numpy(merged.rows), torch.from_numpy(merged.columns)][:, None]

    @torch.no_grad()
    def reference_logprobs(
        self, obs: Mapping[str, torch.Tensor], actions: torch.Tensor, action_masks: torch.Tensor | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the log-probability of each action under the frozen reference: [B]."""
        ids, lengths = _states(obs)
        merged = MergedActions.of(ids, lengths, _whole(actions), _masks(action_masks, len(ids), self.causal.width))
        scores = self.causal.reference_logprobs(
            merged.tokens, merged.prompt_lengths, merged.is_action, merged.masks, rows_per_chunk=ROWS_PER_PASS
        )
        return scores.double().cpu().numpy()[merged.rows, merged.columns]

    def get_distribution(self, obs: PyTorchObs, action_masks: Any = None) -> CategoricalDistribution:
        """Return the distribution over all tokens in each state. It takes [B, V] numbers; writing and learning do without it."""
        assert isinstance(obs, Mapping)
        ids, lengths = _states(obs)
        model = self.causal.model
        tokens = torch.from_numpy(ids[:, : lengths.max()]).to(self.causal.device)
        hidden = hidden_states(model, tokens, torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens))
        logits = project(model, hidden[torch.arange(len(ids)), torch.from_numpy(lengths - 1)]).float() / self.causal.temperature
        allowed = _masks(action_masks, len(ids), self.causal.width)
        mask = None if allowed is None else torch.from_numpy(allowed).to(logits.device)
        distribution = CategoricalDistribution(self.causal.width)
        return distribution.proba_distribution(hide_masked(logits, mask))

    def train(self, mode: bool = True) -> CausalLMPolicy:
        """Stay in evaluation mode: dropout would make the learner's distribution another one than the sampler's."""
        return super().train(False)

    def to(self, *args: Any, **kwargs: Any) -> CausalLMPolicy:
        """Go to the algorithm's device."""
        device = torch.device(args[0] if args else kwargs.get("device", self.causal.device))
        if device.type != self.causal.device.type:
            self._move(device)
        return self

    def _move(self, device: torch.device) -> None:
        """Load the model again on another device, since what is laid out for writing cannot be moved; keep weights and optimiser."""
        weights, optimizer, rate = self.state_dict(), self.optimizer.state_dict(), self.optimizer.param_groups[0]["lr"]
        self.options["device"] = str(device)
        self._build(lambda _: rate)
        self.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over weights."""
        self._weights_changed = True
        return super().load_state_dict(state_dict, strict, assign)

    def load_from_vector(self, vector: npt.NDArray[Any]) -> None:
        """Take over weights from one long vector."""
        self._weights_changed = True
        super().load_from_vector(vector)

    def refresh(self) -> CausalPolicy:
        """Return the policy, told of changed weights; older keys and values are forgotten then."""
        if self._weights_changed:
            self.causal.updated()
            self._weights_changed = False
        return self.causal

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            **self.options,
        }

    @torch.no_grad()
    def _write(
        self, purpose: str, obs: Mapping[str, torch.Tensor], deterministic: bool, action_masks: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        policy = self.refresh()
        ids, lengths = _states(obs)
        writer = self._writers.get(purpose)
        if writer is None or len(writer.lengths) != len(ids) or writer.version != policy.version:
            writer = self._writers[purpose] = _Writer(policy, ids)
        masks = _masks(action_masks, len(ids), policy.width)
        with greedy(policy) if deterministic else nullcontext():
            return writer.write(ids, lengths, obs, masks)


class _Writer:
    """Keep the keys and values of N rows between calls, and know which states they belong to."""

    def __init__(self, policy: CausalPolicy, ids: IntArray) -> None:
        self.policy = policy
        self.version = policy.version
        self.memory = policy.start(len(ids))
        self.ids = np.zeros_like(ids)
        self.lengths = np.zeros(len(ids), dtype=np.int64)

    def write(
        self, ids: IntArray, lengths: IntArray, obs: Mapping[str, torch.Tensor], masks: BoolArray | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Choose a token for each row; a row is fresh unless what was stored of it, and something more, is its state."""
        is_stored = np.arange(ids.shape[1]) < self.lengths[:, None]
        continues = (lengths > self.lengths) & (self.lengths > 0) & ((ids == self.ids) | ~is_stored).all(axis=1)
        observation = {"input_ids": ids, "attention_mask": obs["attention_mask"].cpu().numpy()}
        decision = self.policy.act(observation, self.memory, ~continues, np.ones(len(ids), dtype=bool), masks)
        self.ids, self.lengths = ids.copy(), lengths
        assert decision.values is not None
        tokens, values, logprobs = (torch.from_numpy(array) for array in (decision.tokens, decision.values, decision.logprobs))
        device = self.policy.device
        return tokens.to(device), values[:, None].to(device), logprobs.to(device)


@contextmanager
def greedy(policy: Any) -> Iterator[None]:
    """Let a policy with a temperature write its most probable tokens for a while."""
    temperature, policy.temperature = policy.temperature, 0.0
    try:
        yield
    finally:
        policy.temperature = temperature


def _states(obs: Mapping[str, torch.Tensor]) -> tuple[IntArray, IntArray]:
    """Return ids [B, L] and lengths [B]; counted, since the padding id may equal a real one."""
    return _whole(obs["input_ids"]), obs["attention_mask"].sum(dim=1).cpu().numpy().astype(np.int64)


def _whole(numbers: torch.Tensor) -> IntArray:
    """Return whole numbers as such, whatever type they came in."""
    return numbers.cpu().numpy().astype(np.int64)


def _masks(action_masks: Any, num_rows: int, width: int) -> BoolArray | None:
    """Return which tokens are allowed, [B, V], from an array or tensor of any type."""
    if action_masks is None:
        return None
    array = action_masks.cpu().numpy() if isinstance(action_masks, torch.Tensor) else np.asarray(action_masks)
    return array.reshape(num_rows, width).astype(np.bool_)


def _check_names(**names: object) -> None:
    for name, value in names.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(
                f"{name} must be a name or a folder, got a {type(value).__name__}: Stable-Baselines3 pickles policy_kwargs, and would "
                "put the whole object into each saved file. Write it down with save_pretrained(folder) and give the folder"
            )


def _check_spaces(observation_space: spaces.Space[Any], action_space: spaces.Space[Any], width: int) -> None:
    names = set(observation_space.spaces) if isinstance(observation_space, spaces.Dict) else set[str]()
    if not names >= {"input_ids", "attention_mask"} or not isinstance(action_space, spaces.Discrete):
        raise ValueError(
            f"CausalLMPolicy needs the spaces of a TextGenVecEnv, got observations {observation_space}, actions {action_space}"
        )
    if int(action_space.n) != width:
        raise ValueError(
            f"the environment has {int(action_space.n)} actions and the model {width} logits: make the environment with "
            f"vocab_size={width}, so that ids without a token are masked (and use MaskablePPO, which keeps to masks)"
        )
    if width > LARGEST_FLOAT_ID:
        raise ValueError(f"Stable-Baselines3 keeps actions as float32, exact up to {LARGEST_FLOAT_ID}, and the model has {width} tokens")


def _serve_masks() -> None:
    """Let sb3_contrib's MaskablePPO accept the policy, if it is installed: the policy takes masks, though it is none of its classes."""
    if importlib.util.find_spec("sb3_contrib") is not None:
        from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

        MaskableActorCriticPolicy.register(CausalLMPolicy)


_serve_masks()
