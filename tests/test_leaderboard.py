"""Runs are put on one scale, contenders are called better only where intervals say so, and what reaching a score took is counted."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from benchmarks.arena.ledger import Ledger
from benchmarks.leaderboard.board import OPTIMUM, board_of, read_board
from benchmarks.leaderboard.board_charts import pareto
from benchmarks.leaderboard.budgets import BUDGETS, curves_by_budget, efficiency, reached, scores_at
from benchmarks.leaderboard.comparisons import compare_on_task, compare_over_tasks, leading, paired_difference, ranks, verdicts
from benchmarks.leaderboard.document import shown
from benchmarks.leaderboard.report_command import write_report
from benchmarks.leaderboard.run_statistics import Estimate, iqm_draws
from benchmarks.leaderboard.task_sections import robustness_section
from tests.made_rows import TASKS, made_row, made_rows, write_rows
from tests.test_arena import TINY, run_here
from tests.test_run_statistics import TASKS as SKEWED
from tests.test_run_statistics import drawn_from


@pytest.fixture(scope="module")
def board():
    return board_of(made_rows(), None, {})


def changed(row, **parts):
    return row | parts


# --- order and scale


def test_tasks_and_contenders_stand_in_the_suites_order_whatever_the_order_of_the_rows(board):
    assert board_of(made_rows()[::-1], None, {}).tasks == board.tasks == tuple(TASKS)
    assert board.contenders == ("reference", "slow", "fast", "wasteful", "best-of-8") and board.reference == "reference"


def test_a_failed_run_is_left_out_of_figures_and_kept_among_failures(board):
    assert sorted(board.by_seed("translate", "slow")) == [0, 2, 3, 4]
    assert [(row["task"], row["contender"], row["seed"]) for row in board.failures] == [("translate", "slow", 1)]


def test_the_scale_runs_from_the_references_mean_to_the_best_contenders(board):
    scale = board.scale("reviews")
    assert scale.low == pytest.approx(np.mean([row["final"]["score"] for row in board.cells["reviews", "reference"]]))
    assert scale.high == pytest.approx(board.values("reviews", "fast").mean()) and scale.end.endswith("of fast")
    assert scale.share(board.values("reviews", "reference")).mean() == pytest.approx(0, abs=1e-12)
    assert scale.share(board.values("reviews", "fast")).mean() == pytest.approx(1)


def test_where_the_optimum_is_known_it_is_the_end_of_the_scale(board):
    assert (board.scale("count").low, board.scale("count").high, board.scale("count").end) == (0.0, 1.0, OPTIMUM)
    assert board.score_scale("count").end.startswith("the best mean")  # the score itself has no known optimum


def test_a_ceiling_that_is_given_ends_the_scale_of_what_counts_and_of_a_score_that_is_the_same(board):
    given = board_of(made_rows(), None, {"translate": 0.9, "count": 0.7})
    assert given.scale("translate").high == given.score_scale("translate").high == 0.9  # chrf is what is learned from, too
    assert given.scale("count").high == 1.0 and given.score_scale("count").high == board.score_scale("count").high
    assert board_of(made_rows(), None, {"translate": 0.1}).scale("translate").problem == "the ceiling is not above the reference"


def test_a_task_on_which_nobody_is_above_the_reference_for_sure_is_not_counted(board):
    assert "made of noise" in board.scale("nothing").problem and "nothing" not in board.counted
    assert board.counted == ("count", "reviews", "translate")


def test_a_variant_is_found_by_name_and_feedback_and_counts_no_task_twice(board):
    assert board.variants == {"reviews-noisy": "reviews"} and "reviews-noisy" not in board.counted
    rows = [changed(row, settings=row["settings"] | {"task": row["settings"]["task"] | {"feedback": None}}) for row in made_rows()]
    assert board_of(rows, None, {}).variants == {}  # under the same feedback it is another task with a like name


def test_contenders_without_runs_on_a_task_are_left_out_of_aggregates():
    rows = [row for row in made_rows() if (row["task"], row["contender"]) != ("count", "wasteful")]
    assert board_of(rows, None, {}).compared == ("reference", "slow", "fast", "best-of-8")


# --- what is refused


def test_runs_that_were_made_under_different_settings_are_refused():
    rows = made_rows(seeds=2)
    budget = rows[-1]["settings"]["budget"] | {"tokens": 7}
    rows[-1] = changed(rows[-1], settings=rows[-1]["settings"] | {"budget": budget})
    with pytest.raises(ValueError, match=r"the runs of nothing were made under different settings: budget.tokens was 15000 and is 7"):
        board_of(rows, None, {})
    rows = made_rows(seeds=2)
    at = next(place for place, row in enumerate(rows) if row["contender"] == "slow" and row["seed"] == 1)
    rows[at] = changed(rows[at], settings=rows[at]["settings"] | {"config": {"learning_rate": 1.0}})
    with pytest.raises(ValueError, match=r"the runs of slow of count were made under different settings: config.learning_rate"):
        board_of(rows, None, {})


def test_a_supervised_start_that_only_some_contenders_use_makes_no_other_task():
    rows = made_rows(seeds=2)
    for row in rows:
        if row["contender"] == "fast":
            row["settings"]["task"]["start"] = {"tokens": 30_000}
    assert board_of(rows, None, {}).held_elsewhere("reviews") == ["fast"]


def test_one_run_with_two_results_in_two_folders_is_refused_and_with_one_result_counts_once(tmp_path):
    rows = made_rows(seeds=2)
    first, again = write_rows(tmp_path / "a", rows), write_rows(tmp_path / "b", [row | {"seconds": 9.0} for row in rows[:3]])
    assert len(read_board([first, again]).rows) == len(rows)
    other = write_rows(tmp_path / "c", [made_row("count", "slow", 0, (0, 1), noise=0.5)])
    with pytest.raises(ValueError, match="count/slow/0 is in two of the folders with two results"):
        read_board([first, other])


def test_a_reference_or_a_ceiling_that_is_unknown_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match=r"there is no contender 'nobody': give --reference and one of reference, slow"):
        board_of(made_rows(), "nobody", {})
    with pytest.raises(ValueError, match=r"no contender is untrained, .* give --reference and one of slow, fast"):
        board_of(made_rows(contenders=("slow", "fast")), None, {})
    with pytest.raises(ValueError, match="a ceiling is given for chess, but the tasks are count"):
        board_of(made_rows(), None, {"chess": 1.0})
    with pytest.raises(ValueError, match="all 1 runs failed, the first with ArithmeticError"):
        board_of([row for row in made_rows() if row["is_failed"]], None, {})


# --- who is better than whom


def test_the_interval_of_a_difference_is_the_paired_t_tests_over_the_seeds_that_both_have():
    first, second = {0: 0.5, 1: 0.7, 2: 0.6, 3: 0.9}, {1: 0.4, 2: 0.5, 3: 0.5, 9: 7.0}
    difference = paired_difference(first, second)
    interval = ttest_rel([0.7, 0.6, 0.9], [0.4, 0.5, 0.5]).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert paired_difference(first, {0: 0.1}) is None


def test_intervals_of_several_pairs_are_so_much_wider_that_all_hold_together():
    values = {name: dict(enumerate(np.random.default_rng(place).normal(size=6))) for place, name in enumerate("abc")}
    for (a, b), difference in compare_on_task(values).items():
        interval = ttest_rel(list(values[a].values()), list(values[b].values())).confidence_interval(1 - 0.05 / 3)
        assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))


def test_of_contenders_that_are_alike_one_is_called_better_in_at_most_one_of_twenty_experiments():
    random, told = np.random.default_rng(0), 0
    for _ in range(300):
        values = {name: dict(enumerate(random.normal(size=5))) for name in "abcd"}
        told += any(difference.sign for difference in compare_on_task(values).values())
    assert told / 300 < 0.05 + 3 * 0.0126  # one standard error of 300 experiments


def test_nobody_has_a_rank_that_intervals_do_not_tell():
    differences = {("a", "b"): Estimate(0.2, -0.1, 0.5), ("a", "c"): Estimate(0.5, 0.1, 0.9), ("b", "c"): Estimate(0.3, -0.1, 0.7)}
    assert ranks("abc", differences) == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}
    assert leading("abc", differences) == ["a", "b"]


def test_sentences_say_who_is_better_by_how_much_and_who_cannot_be_told_apart():
    differences = {("a", "b"): Estimate(0.2, -0.1, 0.5), ("a", "c"): Estimate(-0.5, -0.9, -0.1), ("b", "c"): Estimate(0.3, -0.1, 0.7)}
    assert verdicts("abc", differences, shown, "on chess") == [
        "a cannot be told from b on chess.",
        "b cannot be told from a and c on chess.",
        "c is better than a (by 0.500, 0.100 to 0.900); it cannot be told from b on chess.",
    ]


def test_over_all_tasks_differences_are_those_of_interquartile_means(board):
    differences = compare_over_tasks({name: board.shares(name) for name in board.compared})
    assert leading(board.compared, differences) == ["fast"]
    assert differences["slow", "fast"].sign == -1 and differences["reference", "slow"].sign == -1
    alike = {name: [np.random.default_rng(place).normal(size=8)] for place, name in enumerate("ab")}
    assert compare_over_tasks(alike)["a", "b"].sign == 0


def test_intervals_over_all_tasks_are_as_much_wider_as_few_runs_vary_too_little_when_drawn_again():
    runs = {name: [np.random.default_rng(10 * place + task).normal(size=4) for task in range(3)] for place, name in enumerate("ab")}
    difference = compare_over_tasks(runs, seed=5, resamples=500)["a", "b"]
    draws = [iqm_draws(of, np.random.default_rng([5, place]), 500) for place, of in enumerate(runs.values())]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    assert difference.low - difference.value == pytest.approx((4 / 3) ** 0.5 * (low - difference.value))
    assert difference.high - difference.value == pytest.approx((4 / 3) ** 0.5 * (high - difference.value))


@pytest.mark.slow
def test_of_contenders_that_are_alike_over_all_tasks_some_are_called_different_in_11_of_100_experiments_with_three_seeds():
    random, told, experiments = np.random.default_rng(3), 0, 200
    for at in range(experiments):
        runs = {name: drawn_from(SKEWED, 3, random) for name in "abcde"}
        told += any(difference.sign for difference in compare_over_tasks(runs, seed=at, resamples=4000).values())
    assert told / experiments == pytest.approx(0.11, abs=0.066)  # three standard errors; 0.05 is aimed at


def test_a_single_seed_tells_nothing():
    board = board_of(made_rows(seeds=1), None, {})
    assert compare_over_tasks({name: board.shares(name) for name in board.compared}) == {}


# --- budgets


def test_a_run_counts_as_what_it_was_measured_at_before_and_never_as_what_it_becomes():
    curve = [{"tokens": at, "score": score} for at, score in ((0, 0.1), (50, 0.4), (120, 0.3))]
    assert scores_at(curve, np.array([0.0, 49.9, 50.0, 119.0, 120.0, 500.0])).tolist() == [0.1, 0.1, 0.4, 0.4, 0.3, 0.3]


def test_medians_count_runs_that_did_not_get_there_as_later_than_any(board):
    rows, scale = board.cells["reviews", "slow"], board.scale("reviews")

    def with_scores(*scores):
        points = [{"tokens": 10 * at, "queries": at, "seconds": at / 2, "score": score} for at, score in enumerate(scores)]
        return changed(rows[0], curve=points)

    low, high = scale.low, scale.high
    early, late, never = with_scores(low, high), with_scores(low, low, low, high, low), with_scores(low, low)
    found = reached([early, late, never], scale, 0.5)
    assert (found.runs, found.reached, found.tokens, found.queries, found.seconds) == (3, 2, 30.0, 3.0, 1.5)
    assert (found.earliest, found.latest) == (10, 30)
    assert reached([early, never, never], scale, 0.5).tokens is None
    assert (reached([never], scale, 0.5).reached, reached([never], scale, 0.5).earliest) == (0, None)


def test_sample_efficiency_begins_at_the_reference_and_ends_where_runs_end(board):
    tasks, runs = curves_by_budget(board, "fast")
    assert tasks == ["count", "reviews", "translate"] and [each.shape for each in runs] == [(5, len(BUDGETS))] * 3
    ends = [row["curve"][-1]["score"] for row in board.cells["reviews", "fast"]]
    assert runs[1][:, -1] == pytest.approx(board.score_scale("reviews").share(np.array(ends)))
    curve = efficiency(board, "fast")
    assert abs(curve.values[0]) < 0.02 and curve.values[-1] > 0.9
    level = efficiency(board, "best-of-8")
    assert level.values == pytest.approx(level.values[0])  # it does not learn


# --- charts and robustness


def test_the_front_is_whom_no_other_beats_in_both():
    assert pareto({"a": (0.0, 0.1), "b": (1.0, 0.5), "c": (1.0, 0.4), "d": (0.5, 0.5), "e": (9.0, 0.6)}) == ["a", "d", "e"]
    assert pareto({"a": (1.0, 0.5), "b": (1.0, 0.5)}) == ["a", "b"]


def test_the_share_kept_is_the_gain_under_changed_feedback_over_the_clean_one(board):
    table = robustness_section(board).blocks[1]
    kept = {row[1]: row[-1] for row in table.rows}
    gains = [board.values(task, "fast").mean() - board.values(task, "reference").mean() for task in ("reviews-noisy", "reviews")]
    assert kept["fast"].startswith(f"{gains[0] / gains[1]:.3f} (")
    assert gains[0] / gains[1] == pytest.approx(0.6, abs=0.05)  # as it is made up
    without = board_of([row for row in made_rows() if row["task"] != "reviews-noisy"], None, {})
    assert "nothing is said about robustness" in robustness_section(without).blocks[0].text


@pytest.mark.draws_globally
def test_made_up_rows_have_the_form_of_real_ones_of_which_a_report_is_made_too(tmp_path):
    assert run_here(TINY, tmp_path) == 0
    real, made = Ledger(tmp_path).rows[("count", "reinforce", 0)], made_row("count", "slow", 0, (0, 1))
    assert set(real) == set(made)
    assert set(made["settings"]) == set(real["settings"]) and set(made["settings"]["task"]) <= set(real["settings"]["task"])
    assert set(made["curve"][0]) == set(real["curve"][0]) and set(made["spent"]) == set(real["spent"])
    assert set(made["responses"][0]) == set(real["responses"][0])
    _, beside = write_report(read_board([tmp_path]), tmp_path / "report.html")
    assert "4 runs: 2 contenders, 1 task, 2 seeds; 0 failed." in beside.read_text("utf-8")
