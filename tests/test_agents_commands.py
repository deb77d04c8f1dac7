"""Check the commands of python -m agents: what they write, and what they return."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import agents.commands.run_train as run_train
import agents.learning.late as late
from agents import collect, load
from agents.__main__ import main
from agents.learning.checkpoint import class_name
from agents.learning.run_folder import read_metrics

SMALL = ["--model", "tinylm", "--id", "TextGen-v0", "--max-new-tokens", "6", "--num-envs", "8", "--device", "cpu"]
FAST = [*SMALL, "--episodes-per-update", "8", "--evaluation-episodes", "8", "--learning-rate", "1e-3"]


pytestmark = pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_train_leaves_a_run_that_write_and_load_read(tmp_path, capsys):
    assert main(["train", *FAST, "--num-updates", "2", "--folder", "run"]) == 0
    assert "done after 2 updates" in capsys.readouterr().err
    assert [line["update"] for line in read_metrics("run")] == [0, 1, 2]
    assert load("run/checkpoints/best", device="cpu").policy.version in (0, 1, 2)
    assert main(["write", "The food was", "My dog", "--model", "run", "--num", "3", "--max-new-tokens", "5", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in lines] == ["The food was"] * 3 + ["My dog"] * 3
    assert all(isinstance(line["score"], float) and line["ending"] in ("eos", "length") for line in lines)


def test_a_run_goes_on_with_the_options_it_began_with(capsys):
    assert main(["train", *FAST, "--num-updates", "2", "--folder", "run", "--kl-weight", "0.3"]) == 0
    assert main(["train", "--resume", "run", "--num-updates", "3"]) == 0
    assert main(["train", *FAST, "--num-updates", "3", "--folder", "whole", "--kl-weight", "0.3"]) == 0
    # an evaluation follows the last update of each part, so the run that was cut has one more
    one, two = (
        [{name: line[name] for name in ("update", "score", "loss")} for line in read_metrics(folder)[1:]] for folder in ("run", "whole")
    )
    assert one == two


def test_names_that_are_not_ours_are_asked_for_again(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text("def short(episodes):\n    return [-float(len(each.ids)) for each in episodes]\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["train", *FAST, "--num-updates", "1", "--folder", "run", "--feedback", "mine:short"]) == 0
    assert main(["train", "--resume", "run", "--num-updates", "2"]) == 1
    assert "pass what the run began with again: --feedback mine:short" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--num-updates", "2", "--feedback", "mine:short"]) == 0
    sys.modules.pop("mine")


def test_actor_critic_is_trained_with_its_own_options():
    options = run_train.read_options(["--agent", "agents.actor_critic:ActorCritic", "--critic-learning-rate", "0.5"])
    assert options.config.critic_learning_rate == 0.5
    assert main(["train", *FAST, "--agent", "agents.actor_critic:ActorCritic", "--num-updates", "1", "--folder", "run"]) == 0
    assert np.isfinite(read_metrics("run")[-1]["critic_grad_norm"])


@pytest.mark.parametrize(
    ("agent", "options"),
    [
        pytest.param("agents.rloo:RLOO", ["--kl-target", "0.5", "--learning-rate", "1e-3"], marks=pytest.mark.slow),
        ("agents.ppo:PPO", ["--kl-target", "0.5", "--minibatch-size", "4", "--learning-rate", "1e-3"]),
        pytest.param("agents.grpo:GRPO", ["--group-size", "4", "--minibatch-size", "4", "--divide-by-std"], marks=pytest.mark.slow),
        ("agents.frozen:Frozen", []),
    ],
)
def test_an_agent_is_trained_by_its_name_goes_on_as_if_uncut_and_is_loaded(agent, options):
    command = ["train", *SMALL, "--episodes-per-update", "8", "--evaluation-episodes", "0", "--agent", agent, *options]
    assert main([*command, "--num-updates", "1", "--folder", "run"]) == 0
    assert main(["train", "--resume", "run", "--num-updates", "2"]) == 0
    assert main([*command, "--num-updates", "2", "--folder", "whole"]) == 0
    metrics = [
        [{name: value for name, value in line.items() if "second" not in name} for line in read_metrics(folder)]
        for folder in ("run", "whole")
    ]
    assert metrics[0] == metrics[1] and len(metrics[0]) == 2
    loaded = load("run/checkpoints/last", device="cpu")
    assert class_name(loaded) == agent and loaded.config == run_train.read_options(["--resume", "run"]).config


def test_write_shows_scores_and_their_mean(capsys):
    assert main(["write", "The food was", "--model", "tinylm", "--num", "2", "--max-new-tokens", "4"]) == 0
    out = capsys.readouterr().out
    assert "The food was" in out and "mean score" in out and "of 2 responses" in out


def test_the_demo_shows_what_was_gained_and_what_it_cost(capsys, tmp_path):
    small = ["--model", "tinylm", "--id", "TextGen-v0", "--max-new-tokens", "12", "--num-envs", "16"]
    few = ["--num-updates", "3", "--episodes-per-update", "16", "--evaluation-episodes", "16", "--learning-rate", "2e-3"]
    assert main(["demo", *small, *few, "--folder", "run"]) == 0
    out = capsys.readouterr().out
    for part in (
        "mean sentiment score",
        "KL to the untrained",
        "log-probability under",
        "distinct-2",
        "perplexity",
        'load("run/checkpoints/last")',
    ):
        assert part in " ".join(out.split()), part
    assert (tmp_path / "run/learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "run/checkpoints/last/model.safetensors").is_file()


def test_ctrl_c_says_how_to_go_on_and_is_no_success(monkeypatch, capsys):
    calls = []

    def cut_the_second(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return collect(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(late, "collect", cut_the_second)
        assert main(["train", *FAST, "--num-updates", "4", "--folder", "run"]) == 130
    assert "go on with: python -m agents train --resume run" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--num-updates", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--agent", "agents.reinforce:Nobody"], "has no 'NobodyConfig'"),
        (["train", "--resume", "nowhere"], "nowhere is no run to go on with"),
        (["write", "a", "--model", "tinylm", "--num", "0"], "--num must be at least 1, got 0"),
        (["write", "a", "--prompts", "b.txt"], "give either prompts or --prompts"),
        (["write", "a", "--model", "no-such-model"], "no-such-model"),
        (["write", "a", "--model", "tinylm", "--feedback", "nonsense"], 'must look like "module:Name"'),
    ],
)
def test_what_the_caller_can_put_right_is_said_in_a_line(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_unknown_command_or_option_is_no_success(capsys):
    assert main(["dance"]) == 2
    assert main([]) == 2
    assert main(["--help"]) == 0
    with pytest.raises(SystemExit) as stopped:
        main(["write", "--no-such-option"])
    assert stopped.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize("command", ["train", "write", "demo"])
def test_every_command_explains_its_options(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--seed" in capsys.readouterr().out
