"""Show the native vector environment to Stable-Baselines3 as one of its own.

There is one environment with N rows and no copy of it. What Stable-Baselines3 asks row by row (`get_attr`, `env_method`) is answered from
the arrays of all rows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

import text_env  # noqa: F401  (registers the environments)

Indices = int | Iterable[int] | None
AT_THE_END = ("prompt", "response", "ending", "score", "scored")  # what the info of a finished row says besides its last observation


class TextGenVecEnv(VecEnv):
    """Write N texts at once, as a `VecEnv` of Stable-Baselines3.

    A finished row begins its next prompt in the same step. Its info then holds `terminal_observation`, `TimeLimit.truncated`, and what the
    environment says of the episode (`response`, `score`, `scored`, ...); the infos of all other rows are empty. An episode on which the
    feedback had no opinion is truncated, so that Stable-Baselines3 bootstraps a value instead of learning from a false 0.

    One generator draws the prompts of all rows, so of the seeds that `seed` gives to the rows the first one decides.

    Args:
        env: an id, or a vector environment made with `autoreset_mode=SAME_STEP` and `on_abstain="truncate"`.
        num_envs: N, where an id is given.
        options: further arguments of `gym.make_vec`, where an id is given. `on_abstain` is "truncate" unless it is among them (a source
            that pays while the text is written cannot abstain, and needs `on_abstain="zero"`).

    Raises ValueError where a vector environment resets its rows at another time, or is not one of ours.
    """

    def __init__(self, env: str | gym.vector.VectorEnv[Any, Any, Any] = "TextGen-v0", num_envs: int = 1, **options: Any) -> None:
        if isinstance(env, str):
            options = {"on_abstain": "truncate", **options, "autoreset_mode": AutoresetMode.SAME_STEP}
            env = gym.make_vec(env, num_envs=num_envs, **options)
        elif options:
            raise ValueError(f"options {sorted(options)} are for an environment that is made here: give its id, or make it with them")
        _check(env)
        self.env: Any = env
        self.native = cast(Any, env.unwrapped)
        self._actions: npt.NDArray[np.int64] = np.zeros(env.num_envs, dtype=np.int64)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = {"render_modes": ["ansi", "human"]}

    def reset(self) -> dict[str, npt.NDArray[Any]]:
        """Begin an episode in every row."""
        options = self._options[0]
        if any(others != options for others in self._options):
            raise ValueError(f"one reset begins all rows, so their options must be equal, got {self._options}")
        observation, info = self.env.reset(seed=self._seeds[0], options=options or None)
        self._reset_seeds()
        self._reset_options()
        self._note_starts(info)
        return dict(observation)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take one token per row; `step_wait` writes them."""
        self._actions = np.asarray(actions).reshape(self.num_envs)

    def step_wait(self) -> VecEnvStepReturn:
        """Write the tokens; return observations, rewards [N] float32, which rows ended [N], and one info per row."""
        try:
            observation, rewards, terminated, truncated, info = self.env.step(self._actions)
        except ValueError:  # no row is changed then
            self._explain_masks()
            raise
        over = np.asarray(terminated | truncated)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            final = info["final_info"]
            for row in np.flatnonzero(over).tolist():
                infos[row] = {name: _plain(final[name][row]) for name in AT_THE_END if name in final and final[f"_{name}"][row]}
                infos[row]["terminal_observation"] = info["final_obs"][row]
                infos[row]["TimeLimit.truncated"] = bool(truncated[row] and not terminated[row])
            self._note_starts(info)
        return dict(observation), rewards.astype(np.float32), over, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Say what the next `reset` is seeded with; None takes a seed from the operating system."""
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeds = [seed + row for row in range(self.num_envs)]
        return self._seeds

    def render(self, mode: str | None = None) -> Any:
        """Return each row's text ("ansi"), or show them ("human"), as the environment was made to; `mode` is not looked at."""
        return self.env.render()

    def get_images(self) -> Sequence[npt.NDArray[Any] | None]:
        """Return nothing for each row: texts have no image."""
        return [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return the environment's attribute, once for each row that is asked for."""
        value = getattr(self.native, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set the environment's attribute, for all rows."""
        if indices is not None:
            raise ValueError(f"all rows are one environment, so {attr_name!r} cannot be set for some of them: leave out indices")
        setattr(self.native, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any) -> list[Any]:
        """Return what `action_masks`, `render` or `unfinished` say of each row that is asked for.

        Raises AttributeError for another method: the rows are one environment, so no method is theirs alone.
        """
        rows = list(self._get_indices(indices))
        if method_name == "action_masks":
            masks = self.native.action_masks()
            return [masks[row] for row in rows]
        if method_name == "unfinished":
            return [self.native.unfinished(row) for row in rows]
        if method_name == "render":
            frames = self.render()
            return [None if frames is None else frames[row] for row in rows]
        raise AttributeError(f"rows answer action_masks, unfinished and render, not {method_name!r}: ask the environment itself, .native")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None) -> list[bool]:
        """Say for each row that no wrapper of single environments is around it."""
        return [False for _ in self._get_indices(indices)]

    def _note_starts(self, info: dict[str, Any]) -> None:
        for row in np.flatnonzero(info["_episode_index"]).tolist():
            self.reset_infos[row] = {name: int(info[name][row]) for name in ("prompt_index", "episode_index")}

    def _explain_masks(self) -> None:
        """Say what to do where an algorithm without masks chose a masked token."""
        num_tokens = int(self.native.single_action_space.n)
        allowed = self.native.action_masks()[np.arange(self.num_envs), np.clip(self._actions, 0, num_tokens - 1)]
        if allowed.all():
            return
        row = int(np.argmax(~allowed))
        is_installed = importlib.util.find_spec("sb3_contrib") is not None
        missing = "" if is_installed else ", which is not installed: pip install sb3-contrib"
        raise ValueError(
            f"token {int(self._actions[row])} in row {row} is masked. Only algorithms that ask for masks keep to them: use MaskablePPO "
            f"from sb3_contrib{missing}, and use_masking=True where it is offered"
        )


def _check(env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    native: Any = env.unwrapped
    if not hasattr(native, "writing"):
        raise ValueError(f'TextGenVecEnv needs a TextGen environment, got {type(native).__name__}: give an id such as "TextGen-v0"')
    if native.autoreset_mode is not AutoresetMode.SAME_STEP:
        raise ValueError(
            "Stable-Baselines3 expects a new episode in the step that ends the old one, and this environment was made with "
            f"autoreset_mode={native.autoreset_mode}: make it with autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, or give its id"
        )
    if native.writing.task.on_abstain != "truncate" and not native.writing.judge.pays_at_each_step:
        raise ValueError(
            "Stable-Baselines3 would learn from the 0 that an abstention pays: make the environment with "
            'on_abstain="truncate", or give its id'
        )


def _plain(value: Any) -> Any:
    """Return a number or truth value as Python has it."""
    return value.item() if isinstance(value, np.generic) else value
