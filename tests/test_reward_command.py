"""Fit a reward model from the command line: a study or an export goes in, a report and a folder come out."""

from __future__ import annotations

import json

import pytest

from feedback.__main__ import main
from feedback.reward_model import RewardModel
from feedback.simulated.annotator import Annotator
from feedback.simulated.study_rater import SimulatedRater
from feedback.simulated.utility_parts import UtilityNoise
from feedback.study.exporting import Selection, log_lines, preference_lines
from feedback.study.queueing import Mixing, Queue
from feedback.study.records import Kind, Passage, Question
from feedback.study.store import Store
from tests.test_reward_model import BAD, GOOD, PROMPTS, episode
from tests.tiny_study import new_store

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a study in which two simulated people compare praise and blame."""
    path = tmp_path_factory.mktemp("fit") / "study.db"
    with new_store(path) as store:
        for prompt in PROMPTS:
            for one, other in zip(GOOD, BAD, strict=True):
                passages = [Passage(prompt, one), Passage(prompt, other)]
                store.submit([Question(Kind.COMPARE, tuple(each.id for each in passages), wanted=2, most=2)], passages)
        for number in range(2):
            rater = SimulatedRater("feedback.sentiment:Sentiment", Annotator(utility=(UtilityNoise(fixed=0.2),)), seed=number)
            rater.answer_all(Queue(store, mixing=Mixing(0, 0, 0)), store.enrol(f"simulated {number}"))
    return path


def test_fit_reports_saves_and_writes_figures(study, tmp_path, capsys):
    folder, figures = tmp_path / "reward", tmp_path / "fit.json"
    assert main(["fit", "--study", str(study), "--output", str(folder), "--json", str(figures), "--num-heads", "3"]) == 0
    shown = capsys.readouterr().out
    for line in ("used         144 comparisons, 0 ratings, 0 rankings of 144 texts", "left out     nothing", "people agree", "calibration"):
        assert line in shown
    written = json.loads(figures.read_text("utf-8"))
    assert written["accuracy"]["low"] > 0.5 and written["accuracy"]["unit"] == "share"
    assert written["agreement of people"]["value"] > 0.6 and written["comparisons"] == {"value": 144, "unit": "count"}
    assert written["accuracy of the longer"]["unit"] == "share" and written["temperature"]["value"] > 0
    model = RewardModel.load(folder)
    scores = [each.score for each in model([episode(GOOD[0]), episode(BAD[0])])]
    assert scores[0] > scores[1] and model.config.num_heads == 3


def test_a_saved_model_judges_from_the_command_line(study, tmp_path, capsys):
    folder = tmp_path / "reward"
    assert main(["fit", "--study", str(study), "--output", str(folder)]) == 0
    source = ["feedback.reward_model:RewardModel", "--option", f"folder={folder}"]
    assert main(["try", *source, "--prompt", "The film", "--text", " was wonderful", " was awful"]) == 0
    shown = capsys.readouterr().out
    assert "-10 to 10, log odds, higher is better" in shown and " was awful" in shown


def test_an_export_and_the_answers_of_some_people_can_be_fitted(study, tmp_path, capsys):
    log, preferences = tmp_path / "log.jsonl", tmp_path / "preferences.jsonl"
    with Store(study) as store:
        log.write_text("".join(log_lines(store)), encoding="utf-8")
        preferences.write_text("".join(preference_lines(store, Selection())), encoding="utf-8")
    assert main(["fit", "--study", str(preferences)]) == 0
    assert "used         144 comparisons" in capsys.readouterr().out
    assert main(["fit", "--study", str(log), "--who", "simulated 1"]) == 0
    shown = capsys.readouterr().out
    assert "used         72 comparisons" in shown and "no pair was judged by two people" in shown
    assert main(["fit", "--study", str(preferences), "--who", "ann"]) == 1
    assert "does not say whose answers it holds" in capsys.readouterr().err


def test_what_cannot_be_fitted_is_one_clear_line_and_a_failing_status(tmp_path, capsys):
    new_store(tmp_path / "empty.db").close()
    assert main(["fit", "--study", str(tmp_path / "empty.db"), "--output", str(tmp_path / "reward")]) == 1
    assert capsys.readouterr().err.startswith("error: there is nothing to learn from")
    assert main(["fit", "--study", str(tmp_path / "nowhere.db")]) == 1
    assert "there is no study and no export" in capsys.readouterr().err
    assert main(["fit", "--study", str(tmp_path / "empty.db"), "--combination", "min"]) == 1
    assert "min needs members that differ" in capsys.readouterr().err
    assert not (tmp_path / "reward").exists()
