"""Check the training loop: what it repeats, evaluates, keeps and goes on from."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

import agents.learning.train as loop
from agents import ActorCritic, ActorCriticConfig, CausalPolicy, Reinforce, ReinforceConfig, Uniform, collect, evaluate, train
from agents.learning.held_out import distinct_bigrams
from agents.learning.progress_bar import ProgressBar
from agents.learning.run_folder import read_metrics
from agents.learning.stopping import Progress, Stop
from tests.exact_task import Table, all_responses, make_env, random_logits, table_policy
from tests.test_learning_exact import tiny_llama

TIMES = {"seconds_collecting", "seconds_learning", "tokens_per_second"}


def source():
    responses = all_responses()
    return Table({responses.ids(number): float(responses.ids(number).count(1)) for number in range(len(responses))})


def make_agent(kind="reinforce"):
    if kind == "reinforce":
        return Reinforce(CausalPolicy(tiny_llama(), device="cpu"), ReinforceConfig(learning_rate=0.02))
    policy = CausalPolicy(tiny_llama(), device="cpu", value_head=True)
    return ActorCritic(policy, ActorCriticConfig(learning_rate=0.02, critic_learning_rate=0.02))


def numbers(metrics):
    """Return metrics without what depends on the machine."""
    return [{name: value for name, value in line.items() if name not in TIMES} for line in metrics]


@pytest.mark.parametrize("kind", ["reinforce", "actor-critic"])
def test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted(kind, tmp_path):
    def run(folder, num_updates, resume=False):
        options = {"evaluation_env": make_env(source()), "evaluate_every": 2, "show": False, "seed": 3}
        return train(make_env(source()), make_agent(kind), num_updates, 8, folder=tmp_path / folder, resume=resume, **options)

    whole = run("whole", 6)
    first, second = run("parts", 4), run("parts", 6, resume=True)
    assert numbers(first.metrics + second.metrics) == numbers(whole.metrics)
    assert second.num_updates == 6 and second.best_score == whole.best_score
    assert numbers(read_metrics(tmp_path / "parts")) == numbers(read_metrics(tmp_path / "whole"))
    texts = [(tmp_path / name / "responses.jsonl").read_text() for name in ("parts", "whole")]
    assert texts[0] == texts[1]
    weights = [torch.load(tmp_path / name / "checkpoints/last/agent.pt", weights_only=True)["optimizer"] for name in ("parts", "whole")]
    assert all(torch.equal(one["exp_avg"], two["exp_avg"]) for one, two in zip(*(w["state"].values() for w in weights), strict=True))


class Interrupt(Uniform):
    """Raise what Ctrl-C raises at a given call."""

    def __init__(self, agent, at_update=None, at_act=None):
        self.agent, self.policy, self.optimizer, self.config = agent, agent.policy, agent.optimizer, agent.config
        self.left = {"update": at_update, "act": at_act}

    def _count(self, name):
        if self.left[name] is not None:
            self.left[name] -= 1
            if self.left[name] < 0:
                raise KeyboardInterrupt

    def start(self, num_rows, seed=None):
        return self.agent.start(num_rows, seed)

    def act(self, *arguments):
        self._count("act")
        return self.agent.act(*arguments)

    def update(self, rollout):
        self._count("update")
        return self.agent.update(rollout)


def test_after_ctrl_c_a_run_goes_on_as_if_nothing_had_happened(tmp_path):
    options = {"evaluate_every": 2, "show": False}
    whole = train(make_env(source()), Interrupt(make_agent()), 6, 8, folder=tmp_path / "whole", **options)
    cut = train(make_env(source()), Interrupt(make_agent(), at_act=14), 6, 8, folder=tmp_path / "cut", **options)
    assert cut.stopped_by == "interrupted" and 0 < cut.num_updates < 6
    on = train(make_env(source()), Interrupt(make_agent()), 6, 8, folder=tmp_path / "cut", resume=True, **options)
    assert numbers(cut.metrics + on.metrics) == numbers(whole.metrics)


def test_an_update_that_was_cut_in_the_middle_is_not_kept(tmp_path):
    options = {"evaluate_every": 2, "show": False}
    cut = train(make_env(source()), Interrupt(make_agent(), at_update=3), 6, 8, folder=tmp_path, **options)
    assert cut.stopped_by == "interrupted" and cut.num_updates == 3
    on = train(make_env(source()), Interrupt(make_agent()), 6, 8, folder=tmp_path, resume=True, **options)
    assert [line["update"] for line in on.metrics] == [3, 4, 5, 6]  # the last checkpoint was after the second
    assert [line["update"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("at_act", "num_evaluations"), [(1, 0), (4, 1)])
def test_a_run_that_was_cut_before_its_first_update_can_go_on(at_act, num_evaluations, tmp_path):
    options = {"evaluation_env": make_env(source()), "show": False, "folder": tmp_path}
    cut = train(make_env(source()), Interrupt(make_agent(), at_act=at_act), 2, 8, **options)
    assert (cut.stopped_by, cut.num_updates, len(cut.metrics)) == ("interrupted", 0, num_evaluations)
    train(make_env(source()), Interrupt(make_agent()), 2, 8, resume=True, **options)
    assert [line["update"] for line in read_metrics(tmp_path)] == [0, 1, 2]


def test_a_new_run_does_not_write_over_another(tmp_path):
    train(make_env(source()), Uniform(3), 1, 8, folder=tmp_path, show=False)
    with pytest.raises(ValueError, match="holds a run already: go on with it"):
        train(make_env(source()), Uniform(3), 1, 8, folder=tmp_path, show=False)
    assert len(read_metrics(tmp_path)) == 1


def test_an_update_whose_evaluation_was_cut_is_kept_without_it(tmp_path, monkeypatch):
    calls = []

    def cut_the_second(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(loop, "evaluate", cut_the_second)
    options = {"evaluation_env": make_env(source()), "evaluate_every": 2, "show": False, "folder": tmp_path}
    cut = train(make_env(source()), make_agent(), 6, 8, **options)
    assert cut.stopped_by == "interrupted" and cut.num_updates == 2
    assert [line["update"] for line in read_metrics(tmp_path)] == [0, 1, 2]
    assert "held_out/score" not in cut.metrics[-1] and "score" in cut.metrics[-1]
    on = train(make_env(source()), make_agent(), 4, 8, resume=True, **options)
    assert [line["update"] for line in on.metrics] == [3, 4]


def test_an_evaluation_disturbs_neither_training_nor_agent():
    agents = [Reinforce(table_policy(None), ReinforceConfig(learning_rate=0.1)) for _ in range(2)]
    plain = train(make_env(source()), agents[0], 4, 8, keep=False, show=False)
    evaluated = train(make_env(source()), agents[1], 4, 8, evaluation_env=make_env(source()), evaluate_every=1, keep=False, show=False)
    trained = [{name: value for name, value in line.items() if not name.startswith("held_out/")} for line in numbers(evaluated.metrics)[1:]]
    assert trained == numbers(plain.metrics)
    one, two = (collect(make_env(source()), agent, 20) for agent in agents)
    np.testing.assert_array_equal(one.tokens, two.tokens)


def test_an_evaluation_is_the_same_each_time():
    agent, env = make_agent(), make_env(source(), prompts=["a", "b", "c"])
    one, first = evaluate(env, agent, 6)
    collect(env, agent, 5)
    two, second = evaluate(env, agent, 6)
    assert one == two
    np.testing.assert_array_equal(first.tokens, second.tokens)


def test_an_evaluation_measures_what_its_rollout_shows():
    policy = table_policy(random_logits(1), reference=np.zeros((40, 3)))
    measured, rollout = evaluate(make_env(source()), Reinforce(policy), 30)
    log_third = np.log(1 / 3)
    assert measured["score"] == pytest.approx(rollout.scores.mean())
    assert measured["score_standard_error"] == pytest.approx(rollout.scores.std(ddof=1) / np.sqrt(30))
    assert measured["reference_logprob_per_token"] == pytest.approx(log_third)
    assert measured["kl_nats_per_response"] == pytest.approx((rollout.logprobs.sum() - log_third * rollout.lengths.sum()) / 30, rel=1e-5)
    assert measured["distinct_2"] == distinct_bigrams(rollout.responses)


def test_an_agent_without_a_reference_is_evaluated_all_the_same():
    policy = CausalPolicy(tiny_llama(), device="cpu", reference=None)
    for agent in (Uniform(3), Reinforce(policy)):
        measured, _ = evaluate(make_env(source()), agent, 4)
        assert "score" in measured and "kl_nats_per_response" not in measured


def test_distinct_2_is_the_share_of_word_pairs_that_differ():
    assert distinct_bigrams(["a b a b", "a b"]) == pytest.approx(2 / 4)
    assert distinct_bigrams(["A b", "a B"]) == pytest.approx(1 / 2)
    assert distinct_bigrams(["", "word"]) == 0


@pytest.mark.parametrize(
    ("stop", "reason", "num_updates"),
    [
        (Stop(), "updates", 6),
        (Stop(score=-1.0), "score", 2),
        (Stop(tokens=1), "tokens", 1),
        (Stop(seconds=1e-6), "seconds", 1),
        (Stop(patience=1, min_gain=100.0), "converged", 4),
    ],
)
def test_training_ends_for_the_reason_it_was_given(stop, reason, num_updates, tmp_path):
    trained = train(make_env(source()), make_agent(), 6, 8, evaluate_every=2, stop=stop, folder=tmp_path, show=False)
    assert (trained.stopped_by, trained.num_updates) == (reason, num_updates)
    state = torch.load(tmp_path / "checkpoints/last/agent.pt", weights_only=True)
    assert state["extra"]["num_updates"] == num_updates


def test_convergence_counts_scores_in_a_row_without_gain():
    progress = Progress()
    outcomes = [progress.judge({"held_out/score": score}, min_gain=0.1) for score in (0.0, 0.5, 0.55, 0.58, 0.9, 0.1)]
    assert outcomes == [True, True, True, True, True, False]  # each better one is kept, even where it is no gain
    progress.judge({"held_out/score": 0.2})
    assert progress.reason(Stop(patience=2)) == "converged" and progress.reason(Stop(patience=3)) is None


@pytest.mark.parametrize("name", ["patience", "tokens", "seconds"])
def test_a_limit_of_zero_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        Stop(**{name: 0})


def test_a_run_folder_holds_what_happened(tmp_path):
    env = make_env(source())
    trained = train(env, make_agent(), 2, 8, evaluation_env=make_env(source()), evaluation_episodes=4, folder=tmp_path / "run", show=False)
    folder = trained.folder
    assert read_metrics(folder) == trained.metrics
    config = json.loads((folder / "config.json").read_text())
    assert config["agent"] == "agents.reinforce:Reinforce" and config["config"]["learning_rate"] == 0.02
    assert config["env"]["id"] == "TextGen-v0" and config["training"]["episodes_per_update"] == 8
    lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    assert len(lines) == 4 + 8 + 8 + 4
    assert {(line["update"], line["split"]) for line in lines} == {(0, "held_out"), (1, "train"), (2, "train"), (2, "held_out")}
    assert lines[0]["prompt"] == "a b" and lines[0]["score"] == lines[0]["response"].split().count("b")
    assert list(folder.glob("events.out.tfevents.*"))
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best", "last"]


def test_nothing_is_written_where_nothing_is_to_be_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = train(make_env(source()), make_agent(), 1, 8, keep=False, show=False)
    assert trained.folder is None and not list(tmp_path.iterdir())


def test_a_run_without_a_name_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {train(make_env(source()), Uniform(3), 1, 8, show=False).folder for _ in range(2)}
    assert len(folders) == 2 and all(folder.parent.name == "runs" and (folder / "metrics.jsonl").is_file() for folder in folders)


def test_a_single_environment_can_be_trained_on():
    env = gym.make("TextGen-v0", tokenizer="bytes", prompts=["ab"], feedback=lambda episodes: [1.0] * len(episodes), max_new_tokens=3)
    assert train(env, Uniform(257), 2, 3, keep=False, show=False).metrics[1]["score"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_updates": 0}, "must be at least 1, got 0"),
        ({"evaluate_every": 0}, "must be at least 1, got 1 and 0"),
        ({"resume": True}, "resume=True needs folder"),
        ({"resume": True, "folder": "nowhere"}, "nowhere/checkpoints/last is not a checkpoint"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(make_env(source()), Uniform(3), **{"num_updates": 1, "episodes_per_update": 4, "show": False, **options})


def test_progress_shows_score_divergence_pace_and_time_left():
    for terminal in (True, False):
        console = Console(force_terminal=terminal, width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        with ProgressBar(4, console=console) as bar:
            bar.show({"update": 2.0, "score": 0.25, "held_out/score": 0.5, "kl_nats_per_response": 1.5, "tokens_per_second": 99.0})
        text = console.export_text()
        for part in ("2/4", "score +0.250", "held-out +0.500", "KL 1.50 nats", "99 tokens/s"):
            assert part in text
        assert ("left" in text) == terminal
        console.file.close()
