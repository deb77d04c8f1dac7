"""Check an agent as Gymnasium's `check_env` checks an environment: each promise of the protocol, with its own message."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection
from typing import Any

import text_env  # noqa: F401  (registers the environments)
from agents.checking.learning_promises import (
    check_abstentions,
    check_equal_scores,
    check_metrics,
    check_no_score,
    check_not_finite,
    check_one_score,
    check_padding,
    check_ratio,
    check_rollout,
    check_stale_memory,
)
from agents.checking.subject import VOCAB_SIZE, AgentError, Subject, make_policy, make_task
from agents.checking.writing_promises import (
    check_decision,
    check_global_random,
    check_logprobs,
    check_masks,
    check_policy_masks,
    check_protocol,
    check_seeds,
    check_side_by_side,
)


def check_agent(agent: Callable[..., Any] | str, env: Any = None, *, skip: Collection[str] = (), tolerance: float = 1e-3) -> list[str]:
    """Check that an agent keeps what the `Agent` protocol promises, and return the names of the checks that it passed.

    Agents are made anew for each check, so give what makes one, not one that is made:

        check_agent(MyAgent)  # gets policy= (a table of logits) or vocab_size= (4), where it asks for one of them
        check_agent(lambda: MyAgent(4, learning_rate=0.1))
        check_agent(lambda: PPO(CausalPolicy("tinylm", value_head=True)), env)

    Where an agent has a `policy` with an `evaluate`, what it reports is also compared with that. An agent that always takes the likeliest
    token draws from no distribution whose log-probabilities it reports, and must `skip=["logprobs"]`. Whether a loss holds a ratio at 1 is
    seen only where `update` returns "ratio_mean".

    Args:
        agent: a class, a function that returns an agent, or the import path of either. Two agents that it makes must be alike.
        env: a vector environment to write in, made with `autoreset_mode=DISABLED`; a task of 4 tokens with known scores if None, in groups
            of 2 and with masks.
        skip: names of checks to leave out, from `CHECKS`.
        tolerance: nats by which two log-probabilities of the same token may differ; a sampler of lower precision needs more.

    Errors: `AgentError` that names the agent and the promise; ValueError for an unknown check.
    """
    unknown = sorted(set(skip) - set(CHECKS))
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r} to skip; the checks are {', '.join(CHECKS)}")
    make = _maker(agent, env)
    subject = Subject(make, make_task() if env is None else env, type(make()).__name__, tolerance)
    chosen = [name for name in CHECKS if name not in skip]
    for name in chosen:
        CHECKS[name](subject)
    return chosen


CHECKS: dict[str, Callable[[Subject], None]] = {
    "protocol": check_protocol,
    "decision": check_decision,
    "masks": check_masks,
    "global_random": check_global_random,
    "seeds": check_seeds,
    "side_by_side": check_side_by_side,
    "metrics": check_metrics,
    "rollout": check_rollout,
    "logprobs": check_logprobs,
    "ratio": check_ratio,
    "policy_masks": check_policy_masks,
    "abstentions": check_abstentions,
    "padding": check_padding,
    "no_score": check_no_score,
    "one_score": check_one_score,
    "equal_scores": check_equal_scores,
    "not_finite": check_not_finite,
    "stale_memory": check_stale_memory,
}


def _maker(agent: Callable[..., Any] | str, env: Any) -> Callable[[], Any]:
    """Return a function without arguments that makes an agent."""
    kind = _found(agent) if isinstance(agent, str) else agent
    if not callable(kind):
        name = type(kind).__name__
        raise AgentError(
            f"agent {name} is made already, but several are needed: give what makes one, as in check_agent(lambda: {name}(...))"
        )
    parameters = inspect.signature(kind).parameters
    name = getattr(kind, "__name__", type(kind).__name__)
    given: dict[str, Callable[[], Any]] = {}
    if "policy" in parameters and env is None:
        given["policy"] = make_policy
    elif "vocab_size" in parameters:
        given["vocab_size"] = lambda: VOCAB_SIZE if env is None else int(env.single_action_space.n)
    needed = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in given
    ]
    if needed:
        raise AgentError(
            f"agent {name} needs {', '.join(needed)}, which check_agent cannot make: "
            f"give a function, as in check_agent(lambda: {name}(...))"
        )
    return lambda: kind(**{argument: value() for argument, value in given.items()})


def _found(name: str) -> Any:
    """Return what an import path names, a class as a class."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f'a name must look like "module:Name", got {name!r}')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no module {error.name!r} (from {name!r}): install it, or put its folder on PYTHONPATH") from error
    if not hasattr(module, attribute):
        raise ValueError(f"module {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)
