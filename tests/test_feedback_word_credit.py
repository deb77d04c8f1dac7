"""Say which words earned a score: what each word gets, on which tokens, and that it sums to the score."""

from __future__ import annotations

import numpy as np
import pytest

from agents import collect
from feedback import Sentiment, Unfinished, WordCredit, text_feedback
from feedback.__main__ import main
from tests.exact_task import Script
from tests.tiny_sources import DISABLED, END, LengthRank, make_vec
from text_env.episode import Ending, Episode, Prompt
from text_env.tokens import load_tokens

TINYLM = load_tokens("tinylm")


def episode(response, *, end=False, ids=None, is_action=None, ending=None):
    written = np.array(list(response.encode()) if ids is None else ids, dtype=np.int64)
    written = np.append(written, END) if end else written
    ending = ending or (Ending.EOS if end else Ending.LENGTH)
    chosen = np.ones(len(written), dtype=bool) if is_action is None else np.array(is_action)
    return Episode(Prompt("It is", np.zeros(1, dtype=np.int64)), written, chosen, response, ending)


def score(response):
    return Sentiment()([episode(response)])[0]


def test_a_word_earns_by_how_much_it_changes_the_score_shared_by_the_bytes_that_wrote_it():
    said = WordCredit(Sentiment(), "bytes")([episode(" not good, I love it", end=True)])[0]
    text = " not good, I love it"
    assert said.score == score(text)
    assert score(" not good,") < 0 != score(text)
    expected = np.zeros(len(text) + 1)
    expected[4:10] = score(" not good,") / 6  # " good,"
    expected[12:17] = (score(" not good, I love") - score(" not good,")) / 5  # " love"
    np.testing.assert_allclose(said.token_scores, expected, atol=1e-12)


def test_a_word_is_credited_to_the_tokens_of_a_language_model_that_wrote_it():
    text = " a great film, but terribly long"
    ids = TINYLM.encode(text)
    said = WordCredit()([episode(text, ids=ids)])[0]
    by_piece = dict(zip(TINYLM.decode_rows(ids[:, None].tolist()), said.token_scores, strict=True))
    assert by_piece[" great"] == pytest.approx(score(" a great film,"))
    assert [by_piece[piece] for piece in (" a", " film", " long")] == pytest.approx([0.0] * 3, abs=1e-12)
    assert sum(said.token_scores) == pytest.approx(said.score)


def test_what_no_word_earned_is_on_the_last_token_that_the_agent_chose():
    @text_feedback
    def five_and_cats(prompt, response):
        return 5.0 + response.count("cat")

    said = WordCredit(five_and_cats, "bytes")([episode("cat xy", is_action=[True] * 4 + [True, False])])[0]
    np.testing.assert_allclose(said.token_scores, [1 / 3, 1 / 3, 1 / 3, 0, 5, 0], atol=1e-12)
    empty = WordCredit(five_and_cats, "bytes")([episode("", end=True)])[0]
    assert empty.token_scores.tolist() == [5.0]


def test_an_abstention_stays_one_and_a_beginning_without_an_opinion_changes_nothing():
    @text_feedback
    def only_long(prompt, response):
        return float(len(response)) if len(response) >= 5 else None

    source = WordCredit(only_long, "bytes")
    short, long = source([episode("ab c"), episode("ab cd e", end=True)])
    assert short.score is None and short.token_scores is None
    np.testing.assert_allclose(long.token_scores, [0, 0, 5 / 3, 5 / 3, 5 / 3, 1, 1, 0], atol=1e-12)


def test_how_a_response_ended_is_charged_to_its_last_word():
    said = WordCredit(Unfinished(2.0), "bytes")([episode("ab cd")])[0]
    np.testing.assert_allclose(said.token_scores, [0, 0, -2 / 3, -2 / 3, -2 / 3], atol=1e-12)


def test_text_behind_a_stop_string_and_characters_of_several_tokens_are_placed():
    stopped = WordCredit(Sentiment(), "bytes")([episode("good", ids=[*b"good", *b"##"], ending=Ending.STOP)])[0]
    np.testing.assert_allclose(stopped.token_scores, [stopped.score / 4] * 4 + [0, 0], atol=1e-12)

    @text_feedback
    def accents(prompt, response):
        return float(response.count("\u00e9"))

    split = WordCredit(accents, "bytes")([episode("a \u00e9")])[0]
    assert split.token_scores.tolist() == [0.0, 0.5, 0.0, 0.5]  # the first of its two bytes is no character yet


def test_a_long_response_is_credited_by_runs_of_words():
    @text_feedback
    def letters(prompt, response):
        return float(sum(letter.isalpha() for letter in response))

    said = WordCredit(letters, "bytes", max_spans=2)([episode("a b cc dd")])[0]
    np.testing.assert_allclose(said.token_scores, [2 / 3] * 3 + [4 / 6] * 6, atol=1e-12)
    with pytest.raises(ValueError, match="max_spans must be at least 1, got 0"):
        WordCredit(max_spans=0)


def test_the_source_is_asked_once_about_all_words_of_all_episodes():
    calls = []

    class Counted(Sentiment):
        def __call__(self, episodes):
            calls.append([each.response for each in episodes])
            return super().__call__(episodes)

    WordCredit(Counted(), "bytes")([episode("a b"), episode("c")])
    assert calls == [["a b", "c", "", "a", ""]]


def test_each_token_of_a_rollout_is_paid_what_its_word_earned_and_the_score_stays_raw():
    env = make_vec(2, feedback=WordCredit(Sentiment(), "bytes"), max_new_tokens=7, autoreset_mode=DISABLED)
    rollout = collect(env, Script([list(b"a good b")[:7]] * 2), 2, seed=0)
    assert rollout.scores.tolist() == [score("a good")] * 2
    np.testing.assert_allclose(rollout.rewards[0], [0, *[score("a good") / 6] * 6], atol=1e-12)


def test_a_wrong_tokenizer_and_a_source_that_compares_are_refused():
    with pytest.raises(ValueError, match=r"the response is 'good' where tokenizer 'tinylm' reads .*give WordCredit the tokenizer"):
        WordCredit()([episode("good")])
    with pytest.raises(ValueError, match="LengthRank compares the members of a batch"):
        WordCredit(LengthRank())


@pytest.mark.draws_globally  # the library that reads the command line
def test_the_command_shows_what_each_token_earned(capsys):
    assert main(["try", "feedback.word_credit:WordCredit", "--text", " a great film"]) == 0
    shown = capsys.readouterr().out
    assert f"great {score(' a great'):+.3f}" in shown and "film +0.000" in shown
