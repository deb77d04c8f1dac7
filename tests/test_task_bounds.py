"""Hold the floor and the ceiling of a task to what must be so."""

from __future__ import annotations

import json

import pytest

from benchmarks.task_bounds import main, task_bounds

pytest.importorskip("num2words")
JUDGED = {"feedback": "feedback.exact_match:ExactMatch"}


@pytest.mark.slow
def test_the_reference_has_the_highest_score_and_random_tokens_and_a_copy_have_none():
    bounds = task_bounds("TextGen/Translate-v0", 20, language="de", **JUDGED)
    assert {side: one.n for side, one in bounds.items()} == dict.fromkeys(["random", "untrained", "copy", "reference"], 20)
    assert (bounds["reference"].value, bounds["random"].value, bounds["copy"].value) == (1.0, 0.0, 0.0)
    assert bounds["untrained"].value < 0.2


def test_a_task_without_references_or_with_a_vocabulary_of_its_own_has_the_bounds_that_it_can_have():
    assert set(task_bounds("TextGen/Exact-v0", 2, rule="copy", feedback="feedback.unfinished:Unfinished")) == {"random", "copy"}


def test_the_command_writes_the_figures_that_it_prints(tmp_path, capsys):
    path = tmp_path / "bounds.json"
    given = json.dumps({"max_new_tokens": 3, **JUDGED})
    assert main(["TextGen/Answer-v0", "--episodes", "4", "--options", given, "--json", str(path)]) == 0
    assert json.loads(path.read_text())["reference"] == {"value": 1.0, "unit": "score", "low": 1.0, "high": 1.0, "n": 4}
    assert "reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["TextGen/Poem-v0"], "there is no task 'TextGen/Poem-v0'"), (["TextGen/Answer-v0", "--episodes", "1"], "at least 2, got 1")],
)
def test_an_unknown_task_and_too_few_prompts_are_refused_by_name(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
