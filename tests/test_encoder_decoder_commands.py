"""Check an encoder-decoder from a folder from end to end: training, going on, writing, the arena, and that it learns to copy."""

from __future__ import annotations

import json
from itertools import product

import gymnasium as gym
import pytest

from agents import EncoderDecoderPolicy, Reinforce, ReinforceConfig, Supervised, SupervisedConfig, collect, demonstrations, load
from agents.__main__ import main
from agents.learning.run_folder import read_metrics
from benchmarks.arena.ledger import read_rows
from benchmarks.arena.suite import Budget, Contender, Suite, SupervisedStart, Task
from tests.test_arena import run_here
from tests.tiny_encoder_decoders import untrained, write_folder
from tests.tiny_sources import DISABLED, END, ENV

pytestmark = [pytest.mark.slow, pytest.mark.draws_globally]  # tyro draws from `random` to test its own caches where it sees pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("models") / "t5")


def test_train_resume_write_and_load_take_a_folder_of_an_encoder_decoder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--id", ENV, "--max-new-tokens", "6", "--num-envs", "8", "--device", "cpu"]
    fast = [
        "--episodes-per-update",
        "8",
        "--evaluation-episodes",
        "8",
        "--learning-rate",
        "1e-3",
        "--feedback",
        "tests.tiny_sources:Length",
    ]
    assert main(["train", "--model", str(folder), *small, *fast, "--num-updates", "2", "--folder", "run"]) == 0
    assert main(["train", "--resume", "run", "--model", str(folder), "--feedback", "tests.tiny_sources:Length", "--num-updates", "3"]) == 0
    assert read_metrics("run")[-1]["update"] == 3
    policy = load("run/checkpoints/last", device="cpu").policy
    assert type(policy) is EncoderDecoderPolicy and policy.version == 3
    assert (tuple(policy.opening), tuple(policy.closing)) == ((0,), policy.tokens.eos_ids)  # what T5 was trained with
    capsys.readouterr()
    assert main(["write", "The food was", "--model", "run", "--num", "3", "--max-new-tokens", "5", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in lines] == ["The food was"] * 3


def test_the_arena_starts_an_encoder_decoder_by_supervision_and_goes_on_from_there(folder, tmp_path):
    task = Task(
        "numbers",
        "TextGen/Translate-v0",
        {"max_prompt_tokens": 64, "max_new_tokens": 96},
        model=str(folder),
        rows=8,
        episodes_per_update=8,
        held_out_episodes=8,
        evaluate_every=1,
        start=SupervisedStart(tokens=300, settings={"learning_rate": 1e-3}, episodes_per_update=8),
    )
    contenders = (
        Contender("reference", "agents.frozen:Frozen", is_trained=False),
        Contender("reinforce", "agents.reinforce:Reinforce", settings={"learning_rate": 1e-3}, start="supervised"),
    )
    assert run_here(Suite("tiny", (task,), contenders, 1, Budget(queries=16)), tmp_path) == 0
    rows = {row["contender"]: row for row in read_rows(tmp_path)}
    assert rows["reinforce"]["spent"]["forwards"] > 0
    assert rows["reinforce"]["curve"][-1]["update"] == 2


def copying(num_rows):
    texts = ["".join(letters) for letters in product("abcd", repeat=2)]
    prompts = [{"prompt": text, "references": [text]} for text in texts]
    options = {"tokenizer": "bytes", "prompts": prompts, "feedback": copied, "max_new_tokens": 3}
    return gym.make_vec(ENV, num_envs=num_rows, autoreset_mode=DISABLED, **options)


def copied(episodes):
    """Return the share of a prompt's two letters that stand in their place, less a quarter for what was written behind them."""
    pairs = [(each.prompt.text, each.response) for each in episodes]
    return [sum(a == b for a, b in zip(asked, said, strict=False)) / 2 - 0.25 * max(0, len(said) - 2) for asked, said in pairs]


def test_a_t5_learns_to_copy_from_references_and_goes_on_by_reward():
    """Measured: -0.16 untrained, 0.46 after 30 updates of references, 0.86 after 100 of reward behind them; 1 after 120 of references."""
    policy, env = EncoderDecoderPolicy(untrained("t5"), device="cpu", closing=(END,)), copying(64)
    supervised = Supervised(policy, SupervisedConfig(learning_rate=1e-2, rows_per_backward=64))
    by_reward = Reinforce(policy, ReinforceConfig(learning_rate=3e-3, kl_weight=0.0, rows_per_backward=64))

    def score():
        return collect(env, by_reward, 128, seed=5).scores.mean()

    assert score() < 0
    for update in range(30):
        supervised.update(demonstrations(env, 64, seed=update))
    imitated = score()
    for update in range(100):
        by_reward.update(collect(env, by_reward, 64, seed=1000 + update))
    assert 0.25 < imitated < 0.65 and score() > imitated + 0.2
