"""Compute losses, their gradients and a step on a second device that is not there: mixing devices raises, as it would on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("spare")

import agents.actor_critic
from agents import ActorCritic, ActorCriticConfig, Reinforce, ReinforceConfig, TabularPolicy
from agents.learning.step import Batch
from agents.policy.evaluation import Evaluation
from tests.exact_task import all_responses, table_policy, write_all

agents.actor_critic.as_array = lambda tensor: np.zeros(tensor.shape)  # a fake tensor has no numbers to give
responses = all_responses()
rollout = write_all(responses, [1.0] * len(responses), table_policy(None))
arrays = {"reference_logprobs": rollout.logprobs, "rewards": rollout.rewards, "advantages": rollout.rewards}
batch = Batch(rollout, **arrays, num_episodes=len(rollout), num_tokens=int(rollout.is_action.sum()))


class Elsewhere(TabularPolicy):
    '''Keep the tables on the other device, and evaluate there.'''

    def evaluate(self, tokens, prompt_lengths, is_action, masks=None, rows_per_chunk=None, exact_kl=False):
        states, actions, is_action = (tensor.to("spare") for tensor in self._columns(tokens, prompt_lengths, is_action))
        table = torch.log_softmax(self.logits[states], -1)
        logprobs = torch.where(is_action, table.gather(2, actions[..., None]).squeeze(2), 0.0)
        return Evaluation(logprobs, -(table.exp() * table).sum(2), self.values[states], (table.exp() * table).sum(2))


with FakeTensorMode():
    def make():
        policy = Elsewhere(3, 3, prompts=[(0, 1)], value_head=True)
        policy.logits, policy.values = (torch.nn.Parameter(torch.empty(t.shape, device="spare")) for t in (policy.logits, policy.values))
        return policy

    penalties = [Reinforce(make(), ReinforceConfig(kl_as=kl_as, entropy_weight=0.1)) for kl_as in ("reward", "k2", "k3", "exact")]
    critic = ActorCritic(make(), ActorCriticConfig(entropy_weight=0.1))
    for agent, loss in [*((agent, agent.loss) for agent in penalties), (critic, critic.loss), (critic, critic.critic_loss)]:
        agent.optimizer.zero_grad()
        loss(batch)[0].backward()
        for group in agent.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        agent.optimizer.step()
        assert agent.policy.values.grad is not None or agent.policy.logits.grad.device.type == "spare"
    print("learned")
"""


def test_every_loss_and_its_step_run_on_a_device_other_than_the_cpu():
    root = Path(__file__).parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, env=environment)
    assert result.stdout == "learned\n", result.stderr[-3000:]
