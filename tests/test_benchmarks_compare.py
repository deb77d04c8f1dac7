import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from agents import CausalPolicy, Frozen, Reinforce, ReinforceConfig, TabularPolicy, collect, save
from benchmarks.__main__ import main
from benchmarks.compare import CompareOptions, figures_of, jobs_of, measurements_of, pairs_of, report, table_of, verdict
from benchmarks.intervals import pairs_needed
from benchmarks.paired_curves import paired_figure
from benchmarks.paired_runs import TRAINING, Failure, Job, Point, Setting, SideRun, check_pairs, run_all, run_job, seed_of
from benchmarks.sides import read_side
from text_env.names import named_values

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache

TABLE = Setting(
    env="TextGen/Exact-v0",
    model="table",
    num_updates=2,
    episodes_per_update=16,
    num_envs=16,
    evaluate_every=1,
    evaluation_episodes=16,
    evaluation_split="train",
)
EXACT = ["--env", "TextGen/Exact-v0", "--model", "table", "--evaluation-split", "train", "--num-envs", "32", "--episodes-per-update", "32"]
STILL, SENSIBLE = "agents.reinforce:Reinforce,learning_rate=0", "agents.reinforce:Reinforce,learning_rate=0.1,kl_weight=0"


@dataclass(frozen=True)
class BrittleConfig:
    version: int = -1  # number of the update in which it fails


class Brittle(Frozen):
    def __init__(self, policy, config):
        super().__init__(policy)
        self.left = config.version

    def update(self, rollout):
        if self.left == 0:
            raise ArithmeticError("the weights are no longer finite")
        self.left -= 1
        return super().update(rollout)


def run(text: str, name: str = "A", seed: int = 0, setting: Setting = TABLE) -> SideRun:
    return run_job(Job(name, read_side(text), seed, setting))


def planted(differences, kls=None) -> dict[int, tuple[SideRun, SideRun]]:
    """Return pairs whose last scores differ by what is given, and whose last KLs do."""
    kls = [0.0] * len(differences) if kls is None else kls
    blank = SideRun("A", 0, (Point(0, 0.5, 1.0),), 10, 4, 1.0, (), (0,))
    return {
        seed: (replace(blank, seed=seed, curve=(Point(0, 0.5 + apart, 1.0 + kl),)), replace(blank, name="B", seed=seed))
        for seed, (apart, kl) in enumerate(zip(differences, kls, strict=True))
    }


# --- what is compared


def test_settings_are_read_in_the_types_of_their_fields():
    side = read_side("agents.reinforce:Reinforce,learning_rate=3e-4,baseline=mean,rows_per_backward=8,max_grad_norm=inf")
    expected = ReinforceConfig(learning_rate=3e-4, baseline="mean", rows_per_backward=8, max_grad_norm=float("inf"))
    assert (side.agent, side.config, side.is_trained) == ("agents.reinforce:Reinforce", expected, True)
    assert read_side("agents.rloo:RLOO,kl_target=None").config.kl_target is None
    assert read_side("agents.rloo:RLOO,kl_target=2").config.kl_target == 2.0
    assert read_side("agents.reinforce:Reinforce").config == ReinforceConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents.reinforce", "'agents.reinforce' is neither a folder nor an agent: write module:Agent"),
        ("agents.nothing:Reinforce", r"there is no module 'agents.nothing'"),
        ("agents.reinforce:Nothing", r"module 'agents.reinforce' has no 'NothingConfig'; it has .*ReinforceConfig"),
        ("agents.reinforce:Reinforce,speed=1", "agents.reinforce:Reinforce has no setting speed; it has learning_rate, baseline"),
        ("agents.frozen:Frozen,speed=1", "agents.frozen:Frozen has no setting speed; it has none"),
        ("agents.reinforce:Reinforce,learning_rate=fast", "learning_rate of agents.reinforce:Reinforce must be a number, got 'fast'"),
        ("agents.reinforce:Reinforce,rows_per_backward=1.5", "rows_per_backward of .* must be a whole number, got '1.5'"),
        ("agents.reinforce:Reinforce,baseline=best", "baseline of .* must be one of none, mean, leave_one_out, got 'best'"),
        ("agents.rloo:RLOO,kl_target=x", "kl_target of .* must be a number or None, got 'x'"),
        ("agents.reinforce:Reinforce,learning_rate", "a setting must look like field=value, got 'learning_rate'"),
        ("agents.reinforce:Reinforce,learning_rate=1,learning_rate=2", "learning_rate is set twice"),
    ],
)
def test_a_side_that_cannot_be_read_is_refused_with_what_is_wrong_before_anything_runs(text, message, capsys):
    with pytest.raises(ValueError, match=message):
        read_side(text)
    assert main(["compare", text, "agents.frozen:Frozen"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a checkpoint: it has no agent.json"):
        read_side(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "TextGen/Nothing-v0"}, "there is no environment 'TextGen/Nothing-v0'; there are TextGen-v0, TextGen/Answer-v0"),
        ({"episodes_per_update": 10}, "episodes_per_update must be a multiple of group_size 4, got 10"),
        ({"num_updates": 0}, "num_updates must be at least 1, got 0"),
        ({"model": "table"}, 'with model "table" give --evaluation-split train'),
        ({"env_options": ("stop",)}, "must look like NAME=VALUE, got 'stop'"),
        ({"env_options": ("split=train",)}, "split cannot be among env_options"),
    ],
)
def test_a_setting_that_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Setting(**options)


@pytest.mark.parametrize(
    ("options", "message"), [({"seeds": 1}, "seeds must be at least 2, got 1"), ({"jobs": 0}, "jobs must be at least 1")]
)
def test_numbers_that_are_too_small_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CompareOptions("agents.frozen:Frozen", "agents.frozen:Frozen", **options)


def test_options_of_the_environment_are_literals_or_texts():
    assert named_values(["rule=sort", "max_new_tokens=4", "stop=('a',)"]) == {"rule": "sort", "max_new_tokens": 4, "stop": ("a",)}


def test_there_are_no_other_commands(capsys):
    assert main(["race"]) == 2
    assert "there is no command 'race'; there are compare" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "compare" in capsys.readouterr().out


# --- pairs and budgets


def test_both_sides_of_a_pair_are_given_the_same_prompts_and_begin_alike_whatever_the_agents():
    a, b = run("agents.reinforce:Reinforce,learning_rate=0.5"), run("agents.ppo:PPO,learning_rate=0.1", "B")
    assert a.prompts == b.prompts
    assert a.held_out == b.held_out
    assert len(a.prompts) == 2 * 16
    assert a.curve[0] == b.curve[0]  # nothing has been learned
    assert a.last != b.last
    check_pairs({0: (a, b)})
    other = run("agents.reinforce:Reinforce", seed=1)
    assert a.prompts != other.prompts
    assert a.held_out != other.held_out


def test_a_pair_with_different_prompts_is_refused():
    (a, b) = planted([0.1])[0]
    for changed in (replace(b, held_out=(1,)), replace(b, prompts=(1, 2))):
        with pytest.raises(RuntimeError, match="two sides with seed 0 were not given the same prompts"):
            check_pairs({0: (replace(a, prompts=(1, 3)), changed)})
    check_pairs({0: (replace(a, prompts=(1, 3)), replace(b, prompts=()))})  # a checkpoint is not trained


def test_the_same_seed_gives_the_same_numbers():
    first, again = run(SENSIBLE), run(SENSIBLE)
    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)


def test_tokens_and_questions_are_those_that_training_took():
    frozen = run("agents.frozen:Frozen")
    agent = Frozen(_table())
    env = TABLE.make("train", TABLE.group_size)
    rollouts = [collect(env, agent, 16, seed=seed_of(0, TRAINING, update)) for update in range(2)]
    assert frozen.tokens == sum(int(rollout.is_action.sum()) for rollout in rollouts)
    assert frozen.questions == 2 * 16
    assert frozen.prompts == tuple(int(index) for rollout in rollouts for index in rollout.prompt_index)
    assert [point.update for point in frozen.curve] == [0, 1, 2]
    assert frozen.seconds > 0


def test_the_curve_has_its_last_point_after_the_last_update():
    run_of_three = run("agents.frozen:Frozen", setting=replace(TABLE, num_updates=3, evaluate_every=2))
    assert [point.update for point in run_of_three.curve] == [0, 2, 3]


def test_neither_side_always_begins():
    sides = {"A": read_side(STILL), "B": read_side(SENSIBLE)}
    assert [(job.name, job.seed) for job in jobs_of(sides, [5, 6], TABLE)] == [("A", 5), ("B", 5), ("B", 6), ("A", 6)]


def test_a_checkpoint_is_measured_without_training(tmp_path):
    folder = save(Reinforce(CausalPolicy("tinylm")), tmp_path / "checkpoint")
    setting = Setting(env_options=("max_new_tokens=3",), num_envs=4, evaluation_episodes=4)
    side = read_side(str(folder))
    assert not side.is_trained
    measured = run_job(Job("A", side, 3, setting))
    assert (measured.tokens, measured.questions, measured.prompts, len(measured.curve)) == (0, 0, (), 1)
    assert measured.last.kl == pytest.approx(0.0, abs=1e-4)
    assert len(measured.held_out) == 4


# --- verdicts


def test_the_verdict_names_the_better_side_and_turns_with_the_sides():
    assert verdict(figures_of(planted([0.3, 0.4, 0.35]))).startswith("A is better: A - B is +0.350 in held-out score")
    assert verdict(figures_of(planted([-0.3, -0.4, -0.35]))).startswith("B is better: A - B is -0.350")


def test_the_verdict_that_cannot_tell_says_how_many_more_seeds_would():
    figures = figures_of(planted([0.1, 0.2, 0.3]))
    needed = pairs_needed(figures["A-B/score"].mean, figures["A-B/score"].deviation)
    assert needed is not None and needed > 3
    words = verdict(figures)
    assert words.startswith("Cannot tell: A - B is +0.200")
    assert f"About {needed - 3} more seeds ({needed} in all)" in words
    assert "if the true difference and its spread over seeds (standard deviation 0.1) are those seen here" in words


def test_a_difference_that_no_number_of_seeds_shows_is_called_none():
    assert "More than 10,000 seeds would be needed" in verdict(figures_of(planted([0.1, -0.1, 0.0001])))


def test_the_same_thing_twice_cannot_be_told_apart():
    seeds = {seed: (run(SENSIBLE, "A", seed), run(SENSIBLE, "B", seed)) for seed in (0, 1)}
    words = verdict(figures_of(seeds))
    assert words.startswith("Cannot tell: A - B is +0.000")
    assert "The two were the same with every seed" in words


@pytest.mark.parametrize(
    ("kls", "words"),
    [
        ([1.0, 1.1, 1.2], "A is further from its reference (A - B: +1.100 nats a response"),
        ([-1.0, -1.1, -1.2], "B is further from its reference"),
        ([1.0, -1.0, 0.5], "Which is further from its reference cannot be told"),
    ],
)
def test_the_verdict_says_what_was_paid_in_kl(kls, words):
    assert words in verdict(figures_of(planted([0.3, 0.4, 0.35], kls)))


def test_without_a_reference_kl_is_not_compared():
    pairs = planted([0.3, 0.4])
    pairs[0] = (replace(pairs[0][0], curve=(Point(0, 0.8, None),)), pairs[0][1])
    figures = figures_of(pairs)
    assert not [name for name in figures if "kl" in name]
    assert "KL is not compared" in verdict(figures)
    assert len(paired_figure({"A": "x", "B": "y"}, pairs, 2).axes[1].lines) == 2 + 1  # B's alone


def test_the_verdict_says_so_where_it_is_not_about_held_out_prompts():
    figures = figures_of(planted([0.3, 0.4, 0.35]))
    assert "in training-prompt score" in verdict(figures, TABLE.where)
    assert table_of(figures, TABLE.where).columns[0]._cells[0] == "training-prompt score"


def test_figures_are_means_over_seeds_and_differences_are_paired():
    figures = measurements_of(figures_of(planted([0.1, 0.3])))
    assert figures["A/score"].value == pytest.approx(0.7)
    assert figures["B/score"].value == pytest.approx(0.5)
    apart = figures["A-B/score"]
    assert (apart.value, apart.n, apart.unit) == (pytest.approx(0.2), 2, "score")
    assert apart.high - 0.2 == pytest.approx(12.7062 * 0.1, abs=1e-4)  # t(1) * (0.2 / sqrt 2) / sqrt 2


def test_what_a_seed_does_to_both_sides_is_no_part_of_their_difference():
    pairs = planted([0.25, 0.25])
    a, b = pairs[1]
    pairs[1] = (replace(a, curve=(Point(0, 4.75, 1.0),)), replace(b, curve=(Point(0, 4.5, 1.0),)))  # this seed is lucky for both
    figures = figures_of(pairs)
    assert figures["A/score"].deviation > 2
    assert (figures["A-B/score"].low, figures["A-B/score"].high) == (0.25, 0.25)


def test_a_seed_that_one_side_lacks_has_no_pair():
    runs = [run for pair in planted([0.1, 0.2, 0.3]).values() for run in pair]
    assert list(pairs_of([run for run in runs if (run.name, run.seed) != ("B", 1)])) == [0, 2]


def test_the_picture_shows_every_seed_and_names_its_axes():
    pairs = {seed: (run(SENSIBLE, "A", seed), run(STILL, "B", seed)) for seed in (0, 1, 2)}
    figure = paired_figure({"A": SENSIBLE, "B": STILL}, pairs, 2)
    scores, kls, differences = figure.axes
    assert len(scores.lines) == len(kls.lines) == 2 * (3 + 1)  # each seed, and the mean
    assert [float(y) for y in scores.lines[0].get_ydata()] == [point.score for point in pairs[0][0].curve]
    assert scores.get_ylabel() == "held-out score" and kls.get_xlabel() == "updates done"
    assert [label.get_text() for label in differences.get_xticklabels()] == ["0", "1", "2", "mean"]
    assert "3 seeds" in figure.get_suptitle() and SENSIBLE in figure.get_suptitle()


# --- the whole command


def test_a_planted_better_side_is_found_and_everything_is_written(tmp_path, capsys):
    path, folder = tmp_path / "figures.json", tmp_path / "run"
    budget = ["--seeds", "3", "--jobs", "1", "--num-updates", "10", "--evaluate-every", "5", "--json", str(path), "--folder", str(folder)]
    assert main(["compare", SENSIBLE, STILL, *EXACT, *budget]) == 0
    shown = capsys.readouterr().out
    assert "A is better" in shown
    figures = json.loads(path.read_text())
    assert all(set(figure) == {"value", "unit", "low", "high", "n"} for figure in figures.values())
    assert figures["A-B/score"]["low"] > 0
    assert figures["A/questions"]["value"] == figures["B/questions"]["value"] == 10 * 32
    assert figures["A/seconds"]["value"] > 0
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "seeds.jsonl").read_text().splitlines()) == 2 * 3


def test_a_seed_that_failed_is_reported_and_the_others_are_compared(tmp_path, capsys):
    results = [run for pair in planted([0.1, 0.2, 0.9]).values() for run in pair]
    results[2] = Failure("A", 1, "ArithmeticError: the weights are no longer finite", "in update: the whole way")
    assert report(CompareOptions("x", "y", json=tmp_path / "figures.json"), results, tmp_path, Console(width=200)) == 1
    out, err = capsys.readouterr()
    assert "1 of 6 runs failed, 2 pairs are left" in err
    assert "A seed 1: ArithmeticError: the weights are no longer finite" in err
    assert "A - B is +0.500" in out and ", 2 seeds" in out  # of seeds 0 and 2
    assert (tmp_path / "failures.txt").read_text() == "A seed 1\nin update: the whole way"
    assert json.loads((tmp_path / "figures.json").read_text())["A-B/score"]["n"] == 2


def test_with_one_pair_left_there_is_no_verdict_and_nothing_is_written_as_a_figure(tmp_path, capsys):
    results = [*planted([0.1])[0], Failure("A", 1, "ValueError: x", ""), Failure("B", 1, "ValueError: x", "")]
    assert report(CompareOptions("x", "y", json=tmp_path / "figures.json"), results, tmp_path, Console(width=200)) == 1
    out, err = capsys.readouterr()
    assert "There is no verdict: it needs 2 pairs." in err
    assert "better" not in out and "tell" not in out
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.slow
def test_a_side_that_fails_in_its_process_comes_back_as_a_failure_with_the_way_through_the_code():
    brittle, frozen = read_side(f"{Path(__file__).parent.name}.{Path(__file__).stem}:Brittle,version=1"), read_side("agents.frozen:Frozen")
    told: list[SideRun | Failure] = []
    results = run_all([Job("A", brittle, 0, TABLE), Job("B", frozen, 0, TABLE)], 1, told.append)
    assert told == results
    assert isinstance(results[0], Failure) and isinstance(results[1], SideRun)
    assert results[0].reason == "ArithmeticError: the weights are no longer finite"
    assert "in update" in results[0].trace


def _table() -> TabularPolicy:
    exact = TABLE.make("train").unwrapped.exact
    return TabularPolicy(exact.vocab_size, exact.horizon, exact.prompts.tolist(), seed=0)
