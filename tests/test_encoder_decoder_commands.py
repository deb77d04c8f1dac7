"""Check an encoder-decoder from a folder from end to end: training, going on, writing, the arena, and that it learns to copy."""

from __future__ import annotations

import json
from itertools import product

import gymnasium as gym
import numpy as np
import pytest

from agents import EncoderDecoderPolicy, Reinforce, ReinforceConfig, Supervised, SupervisedConfig, collect, demonstrations, evaluate, load
from agents.__main__ import main
from agents.learning.run_folder import read_metrics
from benchmarks.arena import runner
from benchmarks.arena.suite import Budget, Contender, Suite, SupervisedStart, Task
from tests.tiny_encoder_decoders import tiny_encoder_decoder, write_folder
from tests.tiny_sources import DISABLED, ENV, END

pytestmark = [pytest.mark.slow, pytest.mark.draws_globally]  # tyro draws from `random` to test its own caches where it sees pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "t5")


def test_train_resume_write_and_load_take_a_folder_of_an_encoder_decoder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--model", str(folder), "--id", ENV, "--max-new-tokens", "6", "--num-envs", "8", "--device", "cpu"]
    fast = ["--episodes-per-update", "8", "--evaluation-episodes", "8", "--learning-rate", "1e-3", "--feedback", "tests.tiny_sources:Length"]
    assert main(["train", *small, *fast, "--num-updates", "2", "--folder", "run"]) == 0
    assert main(["train", "--resume", "run", "--model", str(folder), "--feedback", "tests.tiny_sources:Length", "--num-updates", "3"]) == 0
    assert read_metrics("run")[-1]["update"] == 3
    policy = load("run/checkpoints/last", device="cpu").policy
    assert type(policy) is EncoderDecoderPolicy and policy.version == 3
    assert (tuple(policy.opening), tuple(policy.closing)) == ((0,), policy.tokens.eos_ids)  # what T5 was trained with
    capsys.readouterr()
    assert main(["write", "The food was", "--model", "run", "--num", "3", "--max-new-tokens", "5", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in lines] == ["The food was"] * 3


def copying(rows, **options):
    texts = ["".join(letters) for letters in product("abcd", repeat=2)]
    prompts = [{"prompt": text, "references": [text]} for text in texts]
    return gym.make_vec(
        ENV, num_envs=rows, autoreset_mode=DISABLED, tokenizer="bytes", prompts=prompts, feedback=copied, max_new_tokens=3, **options
    )


def copied(episodes):
    """Return the share of the prompt's letters that stand in their place, less what was written behind them."""
    return [
        sum(one == other for one, other in zip(each.prompt.text, each.response, strict=False)) / 2 - 0.5 * (len(each.response) > 2)
        for each in episodes
    ]


def test_a_t5_learns_to_copy_by_supervision_and_then_by_reward():
    policy = EncoderDecoderPolicy(tiny_encoder_decoder("t5", plain=True), device="cpu", closing=(END,), reference=None)
    env, updates = copying(32), []
    supervised = Supervised(policy, SupervisedConfig(learning_rate=3e-3))
    for update in range(60):
        updates.append(supervised.update(demonstrations(env, 32, seed=update)))
    by_supervision = collect(env, policy, 64, seed=0).scores.mean()
    print(by_supervision, updates[0], updates[-1])
    agent = Reinforce(policy, ReinforceConfig(learning_rate=1e-3, kl_weight=0.0))
    for update in range(60):
        agent.update(collect(env, agent, 32, seed=1000 + update))
    by_reward = collect(env, policy, 64, seed=0).scores.mean()
    print(by_reward)
