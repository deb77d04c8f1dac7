"""What a person sees in the terminal."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from tests.tiny_sources import DISABLED, END, NEXT_STEP, Critic, NoOpinionOnShort, make, make_vec, write
from text_env.rendering import CLEAR, harmless, render_ansi, render_human, write_safely

STYLE = re.compile(r"\x1b\[[0-9;]*m")
DIM, BRIGHT = "\x1b[2m", "\x1b[1;36m"


@pytest.fixture
def colour(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)


def frame_of(env):
    return STYLE.sub("", env.render())


def test_a_frame_shows_prompt_response_and_cursor_while_it_is_written():
    env = make(render_mode="ansi")
    env.reset(seed=0)
    assert frame_of(env) == "ab▌\n0 tokens, writing\n"
    env.step(ord("c"))
    assert frame_of(env) == "abc▌\n1 token, writing\n"


def test_a_frame_shows_how_the_response_ended_and_what_was_said():
    env = make(render_mode="ansi", feedback=Critic())
    write(env, "cd", end=True)
    assert frame_of(env) == "abcd\n3 tokens, ended by eos, score +1.000\nwell\n"
    env = make(render_mode="ansi", feedback=NoOpinionOnShort())
    write(env, "c", end=True)
    assert frame_of(env) == "abc\n2 tokens, ended by eos, no score\n"


def test_the_prompt_is_dim_and_the_response_bright(colour):
    env = make(render_mode="ansi")
    write(env, "cd")
    assert f"{DIM}ab" in env.render()
    assert f"{BRIGHT}cd" in env.render()


def test_no_colour_is_used_where_the_user_wants_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    env = make(render_mode="ansi")
    write(env, "cd")
    assert "\x1b" not in env.render()


NASTY = "\x1b[2J\x1b]0;title\x07 \r\b\x00\x7f\x9b31m\u202e\u2028\ud800\t"


def test_characters_that_a_terminal_obeys_are_shown_instead():
    assert harmless("a\x1b[31mb") == "a␛[31mb"
    assert harmless("\x07\r\x7f\x9b\u202e") == "␇␍␡\\x9b\\u202e"
    assert harmless("one\ntwo") == "one\ntwo"
    assert harmless("naïve 日本 😀 e\u0301") == "naïve 日本 😀 e\u0301"
    shown = harmless(NASTY)
    assert shown.isprintable()
    shown.encode()


@pytest.mark.parametrize("place", ["prompt", "response", "critique"])
def test_no_control_character_reaches_the_terminal_wherever_it_comes_from(place, colour):
    from text_env.episode import Ending, Episode, Judgement, Prompt

    texts = {"prompt": "p", "response": "r", "critique": "c"} | {place: NASTY}
    episode = Episode(Prompt(texts["prompt"], np.array([1])), np.array([1]), np.array([True]), texts["response"], Ending.EOS)
    frame = render_ansi(episode, Judgement(1.0, critique=texts["critique"]))
    assert not re.search(r"[^\n -~\u00a0-\uffff]|\u202e|\u2028", STYLE.sub("", frame))


def test_square_brackets_are_text_and_no_markup():
    env = make(render_mode="ansi", prompts=["[red]x[/red] :smile:"])
    env.reset(seed=0)
    assert "[red]x[/red] :smile:▌" in frame_of(env)


def test_long_lines_are_wrapped_between_words():
    env = make(prompts=["many words " * 30], max_new_tokens=3)
    env.reset(seed=0)
    lines = STYLE.sub("", render_ansi(env.unwrapped.unfinished(), width=40)).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert len(lines) > 8
    assert all(line.strip().split()[0] in ("many", "words") for line in lines[:7])


def test_a_person_sees_the_frames_without_colour_where_the_output_is_no_terminal(capsys):
    env = make(render_mode="human")
    write(env, "c", end=True)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.split("\n")[::2][:3] == ["ab▌", "abc▌", "abc"]
    assert "2 tokens, ended by eos, score +2.000" in shown


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_terminal_is_cleared_before_each_picture_once(monkeypatch, colour):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    env = make_vec(3, render_mode="human", autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([97, 98, END]))
    pictures = terminal.getvalue().split(CLEAR)
    assert len(pictures) == 3
    assert [STYLE.sub("", line) for line in pictures[2].splitlines()[::2]] == ["0: aba▌", "1: abb▌", "2: ab"]
    assert BRIGHT in pictures[2]


def test_a_terminal_whose_user_wants_no_colour_gets_none(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    env = make(render_mode="human")
    env.reset(seed=0)
    assert terminal.getvalue() == f"{CLEAR}ab▌\n0 tokens, writing\n"


def test_only_as_many_rows_as_fit_are_shown_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("LINES", "11")
    monkeypatch.setenv("COLUMNS", "80")
    render_human([f"row {number}\nstatus\n" for number in range(20)])
    import sys

    assert sys.stdout.getvalue().endswith("row 3\nstatus\nand 16 more rows\n")


def test_a_vector_environment_gives_a_frame_for_each_row_and_says_what_each_does():
    env = make_vec(4, render_mode="ansi", autoreset_mode=DISABLED, max_episode_steps=2)
    env.reset(seed=0, options={"reset_mask": np.array([True, True, True, False])})
    env.step(np.array([97, END, 97, 97]))
    env.reset(options={"reset_mask": np.array([True, False, False, False])})
    env.step(np.array([97, 97, 97, 97]))
    frames = [STYLE.sub("", frame) for frame in env.render()]
    assert isinstance(env.render(), tuple)
    assert frames == [
        "0: aba▌\n1 token, writing\n",
        "1: ab\n1 token, ended by eos, score +1.000\n",
        "2: abaa\n2 tokens, cut off by the time limit\n",
        "3: \nnot begun\n",
    ]


def test_an_episode_that_waits_for_its_judge_is_shown_without_a_score():
    env = make_vec(1, render_mode="ansi", autoreset_mode=DISABLED, scoring="deferred")
    env.reset(seed=0)
    env.step(np.array([END]))
    assert "ended by eos, not judged yet" in STYLE.sub("", env.render()[0])
    env.unwrapped.score_finished()
    assert "ended by eos, score +1.000" in STYLE.sub("", env.render()[0])


def test_the_score_of_the_episode_before_is_not_shown_for_the_new_one():
    env = make_vec(1, render_mode="ansi", autoreset_mode=NEXT_STEP)
    env.reset(seed=0)
    env.step(np.array([END]))
    env.step(np.array([97]))
    assert "score" not in env.render()[0]


def test_characters_that_the_output_cannot_write_are_escaped():
    page = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    write_safely("a▌é", page)
    page.seek(0)
    assert page.read() == "a\\u258c\\xe9"


@pytest.mark.parametrize("maker", [make, make_vec])
def test_rendering_without_a_mode_is_a_warning_with_the_way_out(maker):
    env = maker().unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match='make the environment with render_mode="ansi" or "human"'):
        assert env.render() is None


@pytest.mark.parametrize("maker", [make, make_vec])
def test_rendering_before_the_first_reset_is_refused(maker):
    from gymnasium.error import ResetNeeded

    with pytest.raises(ResetNeeded):
        maker(render_mode="ansi").unwrapped.render()
