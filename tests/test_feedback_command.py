from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import feedback
from feedback.__main__ import main
from feedback.catalogue import find_sources
from feedback.check import CHECKS

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache

MODULE = '''
import threading
from feedback import Contains, Repetition, Sentiment, text_feedback
from text_env.episode import Judgement
import numpy as np

mixed = 0.5 * Contains("cat") - 2 * Repetition(1)

@text_feedback(low=0, high=3, unit="bones")
def bones(prompt, response):
    """Count bones."""
    return None if not response else prompt.count("bone") + response.count("bone")

def plain(prompt, response):
    return 0.0

class PerToken:
    low, high, unit = -9.0, 9.0, ""
    def __call__(self, episodes):
        return [Judgement(1.0, np.arange(len(e.ids)) == 0.0, critique="first only") for e in episodes]

class Locked(PerToken):
    def __init__(self):
        self.lock = threading.Lock()

class Raising(PerToken):
    def __call__(self, episodes):
        raise RuntimeError("no connection")
'''


@pytest.fixture(autouse=True)
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rules.py").write_text(MODULE)
    (tmp_path / "broken_rules.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    monkeypatch.setenv("COLUMNS", "160")


def test_try_shows_the_score_and_its_scale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "feedback.sentiment:Sentiment", "--prompt", "The film was", "--text", " good", " [red]bad[/red]"]) == 0
    shown = capsys.readouterr().out
    assert "feedback.sentiment:Sentiment: -1 to 1, compound sentiment, higher is better" in shown
    assert re.search(r" good +│ +0\.4404", shown)
    assert "[red]bad[/red]" in shown, "a response is shown as it is, not read as markup"


def test_try_shows_an_escape_sequence_instead_of_obeying_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "feedback.sentiment:Sentiment", "--text", "good \x1b[2J"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_try_shows_the_parts_of_a_composed_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "my_rules:mixed", "--text", " cat cat"]) == 0
    shown = capsys.readouterr().out
    assert "my_rules:mixed: -2 to 0.5, weighted sum" in shown
    assert re.search(r"response +┃ +score ┃ Contains ┃ Repetition", shown)
    assert re.search(r" cat cat +│ -0\.5000 │ +\+0\.5000 │ +-1\.0000", shown)


def test_try_reads_prompt_references_ending_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "feedback.exact_match:ExactMatch", "--text", "Paris.", "--reference", "Rome", "paris"]) == 0
    assert re.search(r"Paris\. +│ +1\.0000", capsys.readouterr().out)
    assert main(["try", "feedback.unfinished:Unfinished", "--text", "x", "--ending", "length", "--option", "penalty=0.25"]) == 0
    assert "-0.2500" in capsys.readouterr().out
    assert main(["try", "my_rules:bones", "--prompt", "bone", "--text", " bone"]) == 0
    assert "2.0000" in capsys.readouterr().out
    assert main(["try", "feedback.contains:Contains", "--text", "a cat", "--option", "words=cat", "whole_words=False"]) == 0
    assert "1.0000" in capsys.readouterr().out
    assert main(["try", "feedback.contains:Contains", "--text", "a cat", "--option", "words=['cat', 'dog']"]) == 0
    assert "0.5000" in capsys.readouterr().out


def test_try_cuts_the_text_into_the_tokens_of_the_chosen_tokenizer(capsys: pytest.CaptureFixture[str]) -> None:
    window = ["try", "feedback.length_window:LengthWindow", "--text", "abc", "--option", "shortest=3", "longest=3", "measure=tokens"]
    assert main([*window, "--tokenizer", "bytes"]) == 0
    assert "1.0000" in capsys.readouterr().out


def test_try_shows_an_abstention_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "my_rules:bones", "--text", ""]) == 0
    assert "abstained" in capsys.readouterr().out


def test_try_shows_critiques_and_token_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "my_rules:PerToken", "--text", "ab", "--tokenizer", "bytes"]) == 0
    shown = capsys.readouterr().out
    assert "first only" in shown
    assert "token scores: a +1.000 b +0.000 <end> +0.000" in shown
    assert main(["try", "my_rules:PerToken", "--text", "ab", "--tokenizer", "bytes", "--ending", "length"]) == 0
    assert "<end>" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["try", "nowhere:Rule", "--text", "x"], "there is no module 'nowhere'"),
        (["try", "feedback.sentiment:Mood", "--text", "x"], "module 'feedback.sentiment' has no 'Mood'; it has "),
        (["try", "Sentiment", "--text", "x"], "a name must look like \"module:Name\", got 'Sentiment'"),
        (["try", "my_rules:plain", "--text", "x"], "which has no low, high, unit; make one of a function by feedback.text_feedback"),
        (["try", "feedback.sentiment:Part", "--text", "x"], "expected a feedback source, got typing.Literal['response', 'text']"),
        (["try", "broken_rules:Rule", "--text", "x"], "No module named 'not_installed_anywhere'"),
        (["try", "my_rules:Raising", "--text", "x"], "feedback Raising raised RuntimeError: no connection (asked about episode 0)"),
        (["try", "feedback.contains:Contains", "--text", "x"], "missing 1 required positional argument: 'words'; give the arguments of"),
        (["try", "feedback.contains:Contains", "--text", "x", "--option", "cat"], "an option must look like NAME=VALUE, got 'cat'"),
        (["try", "my_rules:mixed", "--text", "x", "--option", "a=1"], "'my_rules:mixed' is not a class, so it takes no arguments"),
        (
            ["try", "feedback.unfinished:Unfinished", "--text", "x", "--option", "penalty=-1"],
            "penalty must be a finite number of at least 0",
        ),
        (["check", "my_rules:Raising"], "feedback Raising raised RuntimeError: no connection when asked about no episode"),
        (["check", "my_rules:mixed", "--skip", "speed"], "there is no check 'speed' to skip"),
    ],
)
def test_wrong_input_is_one_clear_line_and_a_failing_status(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err


def test_options_that_are_missing_or_unknown_fail_with_their_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["try", "my_rules:mixed"], ["try", "my_rules:mixed", "--text", "x", "--ending", "soon"], ["judge"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["try", "--help"])
    assert stopped.value.code == 0
    assert "--reference" in capsys.readouterr().out


def test_check_names_every_check_that_was_passed_and_every_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "my_rules:Locked"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"passed +{name} ", shown) for name in CHECKS)
    assert "warning: feedback Locked cannot be pickled" in shown


def test_list_names_every_source_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(path in shown for path in find_sources())
    assert "Score how positive a text sounds, from -1 (negative) to 1 (positive)." in shown


def test_the_command_works_as_a_process_with_its_exit_status() -> None:
    root = Path(feedback.__file__).parents[1]
    run = [sys.executable, "-m", "feedback", "try", "feedback.sentiment:Sentiment", "--text"]
    assert subprocess.run([*run, "good"], cwd=root, capture_output=True, text=True).returncode == 0
    wrong = subprocess.run([*run[:4], "nowhere:Rule", "--text", "x"], cwd=root, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout, len(wrong.stderr.splitlines())) == (1, "", 1)
