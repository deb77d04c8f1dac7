"""Check python -m agents supervise: a run from a file of references, which reinforcement learning goes on from."""

from __future__ import annotations

import json

import pytest

import agents.commands.run_train as run_train
import agents.learning.late as late
from agents import Supervised, load
from agents.__main__ import main
from agents.commands.options import EnvOptions
from agents.commands.run_supervise import SuperviseOptions
from agents.learning.late import DemonstrationRollouts
from agents.learning.run_folder import read_metrics

FAST = ["--model", "tinylm", "--device", "cpu", "--max-new-tokens", "4", "--num-envs", "8", "--episodes-per-update", "8"]
FAST += ["--evaluation-episodes", "8", "--learning-rate", "2e-3"]
PROMPTS = ["--prompts", "pairs.jsonl", "--held-out-fraction", "0.3"]

pytestmark = pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = [{"prompt": f"Say {word} to {number}:", "references": [f" {word}"]} for number in range(20) for word in ("yes", "no")]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))


def test_a_model_is_fine_tuned_on_a_file_of_references_and_training_by_score_starts_from_it(capsys):
    assert main(["supervise", *FAST, *PROMPTS, "--num-updates", "4", "--folder", "run"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "go on by its score with: python -m agents train --model run/checkpoints/best" in said
    lines = read_metrics("run")
    assert lines[-1]["held_out/nll_nats_per_token"] < lines[0]["held_out/nll_nats_per_token"] - 3
    assert f"references at best {lines[-1]['held_out/nll_nats_per_token']:.3f} nats a token" in said
    assert lines[-1]["held_out/share_scored"] == 1 and lines[-1]["held_out/kl_nats_per_response"] > 1
    assert isinstance(load("run/checkpoints/best", device="cpu"), Supervised)
    assert main(["diagnose", "run"]) == 1
    assert "run learned from references, and it is learning from scores that is explained here" in capsys.readouterr().err
    judged = ["--id", "TextGen-v0", "--feedback", "feedback.exact_match:ExactMatch", "--compute-dtype", "float32"]
    start = [*FAST, *PROMPTS, *judged, "--model", "run/checkpoints/best", "--num-updates", "1", "--folder", "by_score"]
    assert main(["train", *start]) == 0
    first = read_metrics("by_score")[0]
    assert abs(first["held_out/kl_nats_per_response"]) < 1e-4  # its reference is the model that it starts from
    assert first["held_out/reference_logprob_per_token"] > lines[0]["held_out/reference_logprob_per_token"]
    assert first["held_out/score"] == lines[-1]["held_out/score"]  # which is the supervised one


def test_a_run_goes_on_with_the_options_it_began_with(capsys):
    start = ["supervise", *FAST, *PROMPTS, "--evaluate-every", "1", "--long-references", "leave_out"]
    assert main([*start, "--num-updates", "1", "--folder", "run"]) == 0
    assert main(["supervise", "--resume", "run", "--num-updates", "2"]) == 0
    assert main([*start, "--num-updates", "2", "--folder", "whole"]) == 0
    one, two = (
        [{name: value for name, value in line.items() if "second" not in name} for line in read_metrics(at)] for at in ("run", "whole")
    )
    assert one == two and [line["update"] for line in one] == [0, 1, 2]
    capsys.readouterr()


def test_ctrl_c_says_how_to_go_on_and_is_no_success(monkeypatch, capsys):
    usual, calls = DemonstrationRollouts.next, []

    def cut_the_second(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return usual(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(late.DemonstrationRollouts, "next", cut_the_second)
        assert main(["supervise", *FAST, *PROMPTS, "--num-updates", "3", "--folder", "run"]) == 130
    assert "go on with: python -m agents supervise --resume run" in " ".join(capsys.readouterr().err.split())
    assert main(["supervise", "--resume", "run", "--num-updates", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--id", "TextGen/Reviews-v0"], "has no references, and they are what is learned from"),
        (["--prompts", "pairs.jsonl"], "needs prompts that are split: pass held_out_fraction"),
        ([*PROMPTS, "--max-new-tokens", "1"], "needs 2 tokens with its end token, more than max_new_tokens=1"),
        ([*PROMPTS, "--env-options", "min_new_tokens=3"], "is masked by choices, allowed_tokens, banned_tokens or min_new_tokens"),
        ([*PROMPTS, "--env-options", "split=train"], "split cannot be among env_options"),
        ([*PROMPTS, "--env-options", "min_new_tokens"], "an option must look like NAME=VALUE, got 'min_new_tokens'"),
    ],
)
def test_what_the_caller_can_put_right_is_said_in_a_line(arguments, message, capsys):
    assert main(["supervise", *FAST, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in " ".join(error.split()) and "Traceback" not in error


def test_what_is_not_asked_for_is_the_environments_own():
    env = EnvOptions(id="TextGen-v0", model="tinylm", num_envs=2).make("train")
    assert env.unwrapped.writing.task.max_new_tokens == 32 and env.unwrapped.writing.task.stop == ()
    limited = EnvOptions(id="TextGen-v0", model="tinylm", num_envs=2, max_new_tokens=5, stop=(".",), env_options=("min_new_tokens=2",))
    task = limited.make("train").unwrapped.writing.task
    assert (task.max_new_tokens, list(task.stop), task.min_new_tokens) == (5, ["."], 2)


def test_the_options_explain_themselves_and_have_the_supervised_agent_as_their_default(capsys):
    options = run_train.read_options([], SuperviseOptions, "supervise")
    assert (options.agent, options.env.id, options.config.learning_rate) == ("agents.supervised:Supervised", "TextGen-v0", 5e-5)
    with pytest.raises(SystemExit) as stopped:
        main(["supervise", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "--seed" in shown and "--long-references" in shown and "references" in shown
