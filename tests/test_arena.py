"""Suites are read strictly, runs are charged for what they spend, and nothing is run twice, mixed or lost."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agents import CausalPolicy, Frozen
from benchmarks.__main__ import main
from benchmarks.arena.ledger import RUNS, Ledger, read_rows, result_of
from benchmarks.arena.recorded_run import REPOSITORY, commit_of, record
from benchmarks.arena.run_command import RunOptions, chosen, run_suite, works_of
from benchmarks.arena.scheduling import _fill, do_all
from benchmarks.arena.single_run import play
from benchmarks.arena.spending import ForwardCounter, Spent, used_up
from benchmarks.arena.suite import Budget, Contender, Source, Suite, SupervisedStart, Task
from benchmarks.arena.suite_files import NAMED, check_names, named_suites, read_suite
from benchmarks.arena.table_command import clearly_best, markdown_table
from tests.tiny_models import tiny_model

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache

COUNT = Task(
    "count",
    "TextGen/Exact-v0",
    model="table",
    evaluation_split="train",
    rows=16,
    episodes_per_update=16,
    held_out_episodes=16,
    evaluate_every=2,
    metrics={"repetition": Source("feedback.repetition:Repetition")},
)
FROZEN = Contender("reference", "agents.frozen:Frozen", is_trained=False)
LEARNING = Contender("reinforce", "agents.reinforce:Reinforce", settings={"learning_rate": 0.1})
BEST = replace(FROZEN, name="best-of-8", best_of=8)
BRITTLE = Contender("brittle", "tests.test_arena:Brittle")
TINY = Suite("tiny", (COUNT,), (FROZEN, LEARNING), 2, Budget(tokens=200))
ONE = replace(TINY, seeds=1)
HEAD = 'name = "mine"\nseeds = 1\nbudget = { tokens = 100 }\n'
TASK = '[[tasks]]\nname = "count"\nenv = "TextGen/Exact-v0"\nmodel = "table"\nevaluation_split = "train"\n'
WHO = '[[contenders]]\nname = "a"\nagent = "agents.frozen:Frozen"\n'


@dataclass(frozen=True)
class BrittleConfig:
    flag: str = ""  # file that must be there
    kills: bool = False  # end the process without a word


class Brittle(Frozen):
    def __init__(self, policy, config):
        super().__init__(policy)
        self.settings = config

    def update(self, rollout):
        if self.settings.kills:
            os._exit(9)
        if not Path(self.settings.flag).is_file():
            raise ArithmeticError("the weights are no longer finite")
        return super().update(rollout)


def here(works, num_workers, tell, max_seconds=None):
    """Do all work in this process, one after the other."""
    for work in works:
        tell(work, record(work))
    return 0


def run_here(suite, folder, **options) -> int:
    return run_suite(suite, RunOptions("", Path(folder), **options), Console(quiet=True), here)


def keys_written(folder) -> list[tuple]:
    rows = [json.loads(line) for line in (Path(folder) / RUNS).read_text("utf-8").splitlines()]
    return [(row["task"], row["contender"], row["seed"]) for row in rows]


def only_run(contender, task=COUNT, **budget):
    (run,) = Suite("s", (task,), (contender,), 1, Budget(**(budget or {"tokens": 100}))).runs()
    return run


# --- what is to be run


@pytest.mark.parametrize("name", named_suites())
def test_every_suite_that_comes_with_the_package_can_be_read_under_its_name(name):
    suite = read_suite(name)
    assert suite.name == name and suite.runs()


@pytest.mark.parametrize("name", named_suites())
def test_all_that_a_suite_of_the_package_names_is_there(name):
    check_names(read_suite(name))


def test_the_suites_that_were_never_run_say_so():
    assert {name for name in named_suites() if "NOT RUN" in (NAMED / f"{name}.toml").read_text("utf-8").splitlines()[0]} == {
        name for name in named_suites() if read_suite(name).note
    }


def test_a_suite_of_ones_own_is_a_file_or_a_name_in_python(tmp_path):
    (tmp_path / "mine.toml").write_text(f"{HEAD}{TASK}metrics = {{ r = 'feedback.repetition:Repetition' }}\n{WHO}")
    suite = read_suite(str(tmp_path / "mine.toml"))
    assert (suite.tasks[0].metrics["r"], suite.all_seeds) == (Source("feedback.repetition:Repetition"), (0,))
    assert read_suite("tests.test_arena:TINY") is TINY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEAD}speed = 1\n{TASK}{WHO}", "mine.toml: there is no key 'speed'; there are name, tasks, contenders"),
        (f"{HEAD}{TASK}row = 3\n{WHO}", r"mine.toml: tasks\[0\]: there is no key 'row'; there are name, env"),
        (f"{HEAD}{TASK}rows = '3'\n{WHO}", r"mine.toml: tasks\[0\].rows must be a whole number, got '3'"),
        (f"{HEAD}{TASK}rows = true\n{WHO}", r"mine.toml: tasks\[0\].rows must be a whole number, got True"),
        (f"{HEAD}{TASK}rows = 0\n{WHO}", r"mine.toml: tasks\[0\]: rows must be at least 1, got 0"),
        (f"{HEAD}{TASK}{WHO}start = 'far'\n", r"contenders\[0\].start must be one of 'model', 'supervised', 'task', got 'far'"),
        (f"{HEAD}{TASK}{WHO}tasks = ['sum']\n", "contender a takes part in sum, but the tasks are count"),
        (f"{HEAD}{TASK}{WHO}start = 'supervised'\n", "contender a starts from supervision and task count has no key start"),
        (f"{HEAD}{TASK}{WHO}settings_on.gpt = {{}}\n", "contender a has settings on gpt, but the tasks' models are table"),
        (f"{HEAD}{TASK}feedback = 3\n{WHO}", r"tasks\[0\].feedback must be an import path .*, got 3"),
        (f"{HEAD}{TASK}{WHO}{WHO}", "contenders must have names of their own, and a is there twice"),
        (f"{HEAD}{WHO}", "mine.toml: the key 'tasks' is missing; it must be a list"),
        (f"{HEAD.replace('tokens = 100', '')}{TASK}{WHO}", "mine.toml: budget: a budget needs at least one of tokens, queries, forwards"),
        (f"{HEAD}{TASK}{WHO}best_of = 0\n", r"contenders\[0\]: best_of must be at least 1, got 0"),
        ("name = ", "mine.toml is no TOML"),
    ],
)
def test_a_suite_that_is_wrong_is_refused_with_its_file_its_key_and_what_is_expected(text, message, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_suite(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (replace(ONE, tasks=(replace(COUNT, env="TextGen/Nothing-v0"),)), "task count, env: .*TextGen/Exact-v0"),
        (
            replace(ONE, tasks=(replace(COUNT, feedback=Source("feedback.no:No")),)),
            "task count, feedback: there is no module 'feedback.no'",
        ),
        (replace(ONE, contenders=(replace(FROZEN, agent="agents.frozen:No"),)), "contender reference, agent: .* has no 'No'"),
        (replace(ONE, contenders=(replace(FROZEN, settings={"x": 1}),)), "contender reference, settings: .* has no setting x"),
    ],
)
def test_a_name_that_leads_nowhere_is_found_before_anything_runs(suite, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_here(suite, tmp_path)
    assert not (tmp_path / RUNS).exists()


@pytest.mark.parametrize(
    ("only", "message"),
    [("agent=x", "only must look like task=NAME"), ("seed=7", "no run has the seed '7'; there are 0, 1")],
)
def test_a_choice_of_runs_that_names_nothing_is_refused(only, message):
    with pytest.raises(ValueError, match=message):
        chosen(TINY.runs(), only)


def test_some_of_the_runs_can_be_chosen_by_task_contender_and_seed():
    assert [run.key for run in chosen(TINY.runs(), "contender=reinforce,seed=1")] == [("count", "reinforce", 1)]
    assert len(chosen(TINY.runs(), "contender=reinforce,contender=reference")) == 4


# --- what a run spends and gives


def test_a_run_ends_with_the_update_that_uses_up_the_first_of_its_budgets(tmp_path):
    by_queries = play(only_run(LEARNING, queries=40, tokens=10_000), tmp_path)
    assert by_queries["stopped_by"] == "queries" and by_queries["spent"]["queries"] == 48  # the third update of 16 passes 40
    by_tokens = play(only_run(LEARNING, queries=10_000, tokens=by_queries["spent"]["tokens"]), tmp_path)
    assert by_tokens["stopped_by"] == "tokens" and by_tokens["spent"]["updates"] == 3
    assert used_up(Budget(seconds=1.0), Spent(seconds=1.5)) == "seconds"
    assert used_up(Budget(forwards=10), Spent(tokens=20, forwards=9)) is None


def test_a_curve_begins_before_the_first_update_and_ends_with_the_final_measurement(tmp_path):
    result = play(only_run(LEARNING, queries=48), tmp_path)
    assert [point["update"] for point in result["curve"]] == [0, 2, 3]
    assert result["curve"][-1]["score"] == result["final"]["score"]
    assert result["curve"][0]["kl"] == pytest.approx(0, abs=1e-6)
    assert result["final"]["share_of_optimum"] > 0
    assert result["evaluation_spent"]["queries"] == 3 * 16


def test_a_contender_that_is_not_trained_spends_nothing_in_training(tmp_path):
    result = play(only_run(FROZEN), tmp_path)
    assert (result["stopped_by"], result["spent"]["tokens"], len(result["curve"])) == ("not trained", 0, 1)
    assert result["final"]["share_of_optimum"] == 0


def test_the_best_of_n_answers_the_same_prompts_is_charged_n_times_and_says_its_bound(tmp_path):
    one, best = play(only_run(FROZEN), tmp_path), play(only_run(BEST), tmp_path)
    assert [shown["prompt"] for shown in best["responses"]] == [shown["prompt"] for shown in one["responses"]]
    assert best["evaluation_spent"]["queries"] == 8 * one["evaluation_spent"]["queries"]
    assert best["final"]["score"] > one["final"]["score"]
    assert best["final"]["kl_nats_per_response"] == pytest.approx(np.log(8) - 7 / 8, abs=1e-6)


def test_all_contenders_with_a_seed_meet_the_same_held_out_prompts_and_another_seed_meets_others(tmp_path):
    runs = replace(TINY, tasks=(replace(COUNT, env_options={"num_prompts": 13}),)).runs()
    prompts = {run.key: [shown["prompt"] for shown in play(run, tmp_path)["responses"]] for run in runs}
    assert prompts["count", "reference", 0] == prompts["count", "reinforce", 0] != prompts["count", "reinforce", 1]


def test_forwards_are_the_tokens_that_go_through_policy_and_reference():
    agent = Frozen(CausalPolicy(tiny_model()))
    counter, spent = ForwardCounter(agent), Spent()
    tokens, is_action = np.ones((3, 6), dtype=np.int64), np.ones((3, 4), dtype=bool)
    with counter.charged_to(spent):
        agent.policy.evaluate(tokens, np.array([2, 2, 2]), is_action)
    once = spent.forwards
    with counter.charged_to(spent):
        agent.policy.reference_logprobs(tokens, np.array([2, 2, 2]), is_action)
    assert (once, spent.forwards) == (3 * 5, 2 * 3 * 5)  # the last token is an action whose successor nobody asks for


# --- rows


def test_a_suite_that_was_run_is_not_run_again_and_gives_the_same_numbers_in_another_folder(tmp_path):
    assert run_here(TINY, tmp_path / "a") == 0
    rows = read_rows(tmp_path / "a")
    assert run_here(TINY, tmp_path / "a") == 0 and len(keys_written(tmp_path / "a")) == 4
    assert run_here(TINY, tmp_path / "b", only="seed=1") == 0
    for row in read_rows(tmp_path / "b"):
        assert result_of(row) == next(result_of(each) for each in rows if (each["contender"], each["seed"]) == (row["contender"], 1))
    assert rows[0]["settings"]["config"] == {} and rows[1]["settings"]["config"]["learning_rate"] == 0.1
    assert {"torch", "python"} <= set(rows[0]["versions"]) and rows[0]["machine"] and rows[0]["commit"]
    assert "| count (score) |" in markdown_table(rows)


def test_a_line_that_a_kill_cut_off_is_taken_away_and_only_its_run_is_made_again(tmp_path):
    run_here(TINY, tmp_path)
    file = tmp_path / RUNS
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:3]) + whole[3][:40])
    assert run_here(TINY, tmp_path) == 0
    assert len(keys_written(tmp_path)) == len(set(keys_written(tmp_path))) == 4
    assert file.read_bytes().splitlines(keepends=True)[:3] == whole[:3]


def test_a_line_in_the_middle_that_cannot_be_read_is_an_error_with_its_number(tmp_path):
    (tmp_path / RUNS).write_text('{"task": \n{}\n')
    with pytest.raises(ValueError, match=r"runs.jsonl, line 1 is no JSON"):
        Ledger(tmp_path)


def test_results_under_other_settings_are_never_mixed(tmp_path):
    run_here(ONE, tmp_path)
    with pytest.raises(ValueError, match=r"count/reinforce/0 .* other settings: config.learning_rate was 0.1 and is 0.2. Take another"):
        run_here(replace(ONE, contenders=(FROZEN, replace(LEARNING, settings={"learning_rate": 0.2}))), tmp_path)
    with pytest.raises(ValueError, match=r"budget.tokens was 200 and is 300"):
        run_here(replace(ONE, budget=Budget(tokens=300)), tmp_path)
    with pytest.raises(ValueError, match="holds runs of the suite tiny, not of other"):
        run_here(replace(ONE, name="other"), tmp_path)
    assert run_here(replace(ONE, contenders=(*ONE.contenders, BEST), seeds=(0,)), tmp_path) == 0  # what is new is added


def test_a_failure_is_a_row_with_its_story_and_is_tried_again_only_when_asked(tmp_path):
    flag = tmp_path / "flag"
    suite = replace(ONE, contenders=(replace(BRITTLE, settings={"flag": str(flag)}), LEARNING))
    assert run_here(suite, tmp_path) == 1
    failed, fine = read_rows(tmp_path)
    assert failed["error"] == "ArithmeticError: the weights are no longer finite" and "in update" in failed["traceback"]
    assert failed["is_failed"] and not fine["is_failed"]
    assert "1 runs failed" in markdown_table(read_rows(tmp_path))
    flag.touch()
    assert run_here(suite, tmp_path) == 1 and len(keys_written(tmp_path)) == 2
    assert run_here(suite, tmp_path, retry_failed=True) == 0 and len(keys_written(tmp_path)) == 3
    assert not any(row["is_failed"] for row in read_rows(tmp_path))


def test_nothing_begins_when_the_time_is_up(tmp_path):
    works = works_of(TINY.runs(), tmp_path)
    assert do_all(works, 2, lambda *_: pytest.fail("a run was made"), max_seconds=0) == 4


def test_a_supervised_start_is_one_work_for_all_that_need_it_and_comes_first(tmp_path):
    task = Task("reviews", "TextGen/Reviews-v0", start=SupervisedStart(100))
    first, second = (replace(LEARNING, name=name, start=start) for name, start in (("a", "supervised"), ("b", "task")))
    works = works_of(Suite("s", (task, COUNT), (FROZEN, replace(first, tasks=("reviews",)), second), 2, Budget(tokens=9)).runs(), tmp_path)
    starts = [work.key for work in works if work.is_start]
    assert starts == [("reviews", "supervised start", 0), ("reviews", "supervised start", 1)]
    assert [work.needs for work in works if work.key[1] in "ab"] == [starts[0], starts[0], starts[1], starts[1], None, None]
    assert all(works.index(work) > [each.key for each in works].index(work.needs) for work in works if work.needs)


class Untouched:
    """Take work as a pool does, and never begin it."""

    def submit(self, function, work):
        return Future()


def test_no_process_begins_what_needs_a_supervised_start_that_is_not_finished(tmp_path):
    task = Task("reviews", "TextGen/Reviews-v0", start=SupervisedStart(100))
    needing = replace(LEARNING, start="supervised")
    waiting = works_of(Suite("s", (task,), (needing, replace(needing, name="b"), FROZEN), 1, Budget(tokens=9)).runs(), tmp_path)
    running = {}
    _fill(Untouched(), waiting, running, 3)
    assert [work.key[1] for work in running.values()] == ["supervised start", "reference"]
    running.clear()  # both are finished
    _fill(Untouched(), waiting, running, 3)
    assert [work.key[1] for work in running.values()] == ["reinforce", "b"]


def test_a_folder_outside_of_git_has_no_commit(tmp_path):
    assert commit_of(tmp_path) == "unknown"
    assert not (REPOSITORY / ".git").exists() or commit_of(REPOSITORY)[:7].isalnum()


# --- tables


def test_a_contender_stands_out_only_where_its_interval_lies_above_all_others():
    assert clearly_best({"a": [0.9, 0.91, 0.9], "b": [0.1, 0.12, 0.1]}) == "a"
    assert clearly_best({"a": [0.55, 0.6, 0.65], "b": [0.4, 0.45, 0.5]}) is None  # 0.476 is not above 0.574, though 0.6 is
    assert clearly_best({"a": [0.9], "b": [0.1, 0.12]}) is None  # one seed has no interval


def test_a_table_without_runs_or_without_the_measurement_says_what_to_do(tmp_path, capsys):
    assert main(["table", str(tmp_path / "nothing")]) == 1
    assert "make some with python -m benchmarks run" in capsys.readouterr().err
    run_here(ONE, tmp_path)
    with pytest.raises(ValueError, match=r"no run of count has the measurement 'bleu'; they have .*repetition"):
        markdown_table(read_rows(tmp_path), "bleu")
    assert main(["table", str(tmp_path), "--metric", "kl_nats_per_response"]) == 0
    assert "| count (kl nats per response) | -0.000 |" in capsys.readouterr().out.replace("| 0.000 |", "| -0.000 |")


# --- in processes


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_how_many_processes_there_are(tmp_path):
    folders = {jobs: tmp_path / str(jobs) for jobs in (1, 2)}
    for jobs, folder in folders.items():
        assert run_suite(TINY, RunOptions("", folder, jobs=jobs), Console(quiet=True)) == 0
    one, two = ({(row["contender"], row["seed"]): result_of(row) for row in read_rows(folder)} for folder in folders.values())
    assert one == two and len(one) == 4


@pytest.mark.slow
def test_a_run_that_kills_its_process_fails_alone(tmp_path):
    suite = replace(ONE, contenders=(replace(BRITTLE, settings={"kills": True}), LEARNING))
    assert run_suite(suite, RunOptions("", tmp_path), Console(quiet=True)) == 1
    outcomes = {row["contender"]: row["error"] for row in read_rows(tmp_path)}
    assert outcomes["reinforce"] is None and "its process ended without a word" in outcomes["brittle"]


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on_and_runs_nothing_twice(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "run", "tests.test_arena:TINY", "--folder", str(tmp_path), "--jobs", "1"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    while not (tmp_path / RUNS).exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (tmp_path / RUNS).read_bytes()
    assert run_here(TINY, tmp_path) == 0
    assert (tmp_path / RUNS).read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert len(keys_written(tmp_path)) == len(set(keys_written(tmp_path))) == 4


@pytest.mark.slow
def test_contenders_share_a_supervised_start_which_the_penalty_holds_them_to(tmp_path):
    task = Task(
        "phrases",
        "benchmarks.phrases:Benchmark/Phrases-v0",
        held_out_episodes=16,
        episodes_per_update=16,
        rows=16,
        start=SupervisedStart(300, settings={"learning_rate": 1e-3}),
    )
    learners = (
        replace(FROZEN, name="supervised", start="supervised"),
        Contender("more", "agents.supervised:Supervised", start="supervised"),
        Contender("ppo", "agents.ppo:PPO", start="supervised"),
    )
    suite = Suite("s", (task,), (FROZEN, *learners), 1, Budget(tokens=60))
    assert run_here(suite, tmp_path) == 0
    assert keys_written(tmp_path)[1] == ("phrases", "supervised start", 0) and len(keys_written(tmp_path)) == 5
    rows = {row["contender"]: row for row in read_rows(tmp_path)}
    texts = {name: [shown["response"] for shown in row["responses"]] for name, row in rows.items()}
    assert texts["supervised"] != texts["reference"]
    for name in ("supervised", "more", "ppo"):
        assert rows[name]["curve"][0]["kl"] == pytest.approx(0, abs=1e-4)  # of the supervised model, not of the one before
        assert rows[name]["curve"][0]["score"] == rows["supervised"]["final"]["score"]
        assert rows[name]["spent"]["forwards"] > 0 or name == "supervised"
    assert rows["more"]["spent"]["queries"] == 0 and rows["ppo"]["spent"]["queries"] == 16
