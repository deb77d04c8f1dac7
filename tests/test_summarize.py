"""Hold the summarising task to its data: references are right, splits are apart, and what is wrong is refused."""

from __future__ import annotations

import pickle
import platform
import re
import sys

import gymnasium as gym
import numpy as np
import pytest

from feedback import ExactMatch
from tests.tiny_sources import DISABLED
from text_env import load_tokens
from text_env.material.docstrings import described, docstrings, split_of
from text_env.material.frames import Frame
from text_env.material.short_reviews import BAD, GOOD, OPENERS, OPINIONS, TIMES, adjectives_of, short_review

SPLITS = ("train", "held_out")
NUM_REVIEWS = 400


def reviews(split, seed=0):
    rng = np.random.default_rng(seed)
    return [short_review(rng, split) for _ in range(NUM_REVIEWS)]


def said_of(row):
    """Return the subject and the adjectives of a review, found in its text."""
    words = re.findall(r"[a-z]+", row["prompt"].partition("\n")[0])
    return next(subject for subject in OPENERS if subject in words), [word for word in words if word in GOOD + BAD]


@pytest.mark.parametrize("split", SPLITS)
def test_a_review_is_summarised_by_the_mood_of_its_adjectives_and_its_subject(split):
    seen = set()
    for row in reviews(split):
        subject, adjectives = said_of(row)
        moods = {adjective in GOOD for adjective in adjectives}
        mood = "mixed" if len(moods) == 2 else "good" if moods == {True} else "bad"
        assert row["references"] == [f"{mood} {subject}"]
        assert row["prompt"].count(".") == 1 + len(adjectives) in (2, 3)
        seen.add(row["references"][0])
    assert len(seen) == 3 * len(OPENERS)


def test_no_subject_meets_an_adjective_in_training_that_it_meets_in_the_held_out_split():
    pairs = {split: {(subject, word) for row in reviews(split) for subject, words in [said_of(row)] for word in words} for split in SPLITS}
    assert not pairs["train"] & pairs["held_out"]
    for split in SPLITS:
        assert {subject for subject, _ in pairs[split]} == set(OPENERS)
        assert {word for _, word in pairs[split]} == {*GOOD, *BAD}


def test_every_subject_has_adjectives_of_both_moods_in_both_splits_and_all_of_them_in_one():
    for subject in OPENERS:
        for is_good, adjectives in ((True, GOOD), (False, BAD)):
            train, held_out = (adjectives_of(subject, is_good, split) for split in SPLITS)
            assert len(held_out) == len(adjectives) // 5
            assert sorted(train + held_out) == sorted(adjectives)


def test_reviews_are_decided_by_the_generator_and_rarely_repeat():
    first, again, other = reviews("train"), reviews("train"), reviews("train", seed=1)
    assert first == again
    assert first != other
    assert len({row["prompt"] for row in first}) > 0.95 * NUM_REVIEWS


def test_the_longest_review_fits_the_budget_of_the_environment():
    tokens = load_tokens("tinylm")

    def longest(texts):
        return max(texts, key=lambda text: len(tokens.encode(text)))

    opener, time, adjective = longest(o for both in OPENERS.values() for o in both), longest(TIMES), longest(GOOD + BAD)
    opinion = longest(OPINIONS).format(adjective)
    prefixes = gym.make("TextGen/Summarize-v0").unwrapped.writing.prefixes
    assert len(tokens.encode_prompt(f"{opener} {time}. {opinion} {opinion}\nSummary:")) <= prefixes.prompts.max_tokens
    assert (
        max(len(tokens.encode(f" {mood} {subject}")) for mood in ("good", "bad", "mixed") for subject in OPENERS) < prefixes.max_new_tokens
    )


@pytest.mark.parametrize("split", SPLITS)
def test_writing_the_reference_of_a_review_earns_everything(split):
    env = gym.make("TextGen/Summarize-v0", split=split, feedback=ExactMatch())
    env.reset(seed=0)
    prefixes = env.unwrapped.writing.prefixes
    prompt = prefixes.prompt(0)
    assert prompt.text.endswith("\nSummary:") and prompt.references[0].startswith(" ")
    for token in [*prefixes.tokens.encode(prompt.references[0]), prefixes.tokens.eos_ids[0]]:
        _, reward, terminated, _, _ = env.step(int(token))
    assert (reward, terminated) == (1.0, True)


SOURCE = '''
"""Say what the module does.

It does a good deal of things that are of no use at all."""
import nothing_of_this_name

class Thing:
    """Hold a thing.

    It is held until somebody comes who wants to have it.
    """

    async def give(self, one, two=None):
        """Give it to
        somebody else.

        Whoever wants to have it may come and take it today.

        There is no charge.
        """

    def short(self):
        """Say less than that."""

    def _hidden(self):
        """Do it in private.

        Nobody has to know of it, so that nobody can complain.
        """

def list_like():
    """Return the following

    one two three four five six seven eight nine ten
    """
'''


def test_a_docstring_is_split_into_its_summary_line_and_its_body():
    told = list(described(SOURCE))
    assert [(name, summary) for name, summary, _ in told] == [
        ("", "Say what the module does."),
        ("Thing", "Hold a thing."),
        ("Thing.give", "Give it to somebody else."),
    ]
    assert told[2][2] == "Whoever wants to have it may come and take it today.\n\nThere is no charge."


def test_docstrings_of_a_folder_are_read_in_order_and_each_body_once(tmp_path):
    for name in ("b.py", "a/__init__.py", "a/inner.py", "test/c.py", "_private.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SOURCE.replace("good deal", name))
    (tmp_path / "broken.py").write_text("def (")
    version = platform.python_version()
    assert [row["id"] for row in docstrings(str(tmp_path))] == [
        f"{version}:{place}" for place in ("_private", "_private:Thing", "_private:Thing.give", "a", "a.inner", "b")
    ]


def test_a_folder_without_docstrings_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no docstrings with a summary and a body in"):
        docstrings(str(tmp_path))


@pytest.fixture(scope="module")
def library():
    return docstrings()


@pytest.mark.slow
def test_docstrings_of_the_library_come_from_its_source_and_import_nothing(library):
    assert len(library) > 1000
    assert {"turtle", "antigravity", "this"} & set(sys.modules) == set()
    assert len({row["prompt"] for row in library}) == len({row["id"] for row in library}) == len(library)
    [row] = [row for row in library if row["id"].endswith(":textwrap:shorten")]
    import textwrap

    summary, _, body = textwrap.dedent(f"    {textwrap.shorten.__doc__}").partition("\n\n")
    assert row["references"] == [summary.strip()]
    assert " ".join(row["prompt"].split()) == " ".join(body.split())


@pytest.mark.slow
def test_equal_summaries_of_docstrings_are_on_one_side_and_a_tenth_is_held_out(library):
    sides = {}
    for row in library:
        sides.setdefault(row["references"][0].casefold(), set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert len(sides) < len(library)
    assert 0.07 < sum(side == {"held_out"} for side in sides.values()) / len(sides) < 0.13
    assert split_of("Return a copy.") == split_of("return a COPY.")


@pytest.mark.slow
def test_a_long_docstring_loses_its_end_and_keeps_its_beginning(library):
    prompts = gym.make(
        "TextGen/Summarize-v0", kind="docstrings", max_prompt_tokens=40, feedback=ExactMatch()
    ).unwrapped.writing.prefixes.prompts
    lengths = [len(prompt.ids) for prompt in prompts._items]
    assert max(lengths) == prompts.max_tokens == 40
    bodies = {row["id"]: row["prompt"] for row in library}
    for prompt in prompts._items:
        kept = prompt.text.removesuffix("\nSummary:")
        assert kept != prompt.text and bodies[prompt.id].startswith(kept)
    assert len({prompt.text for prompt in prompts._items}) == len(prompts._items)


def test_cutting_keeps_as_many_tokens_as_there_is_room_for():
    frame, tokens = Frame(after="!"), load_tokens("bytes")
    assert frame.cut({"prompt": "abcdef"}, tokens, 4) == {"prompt": "abc"}
    assert frame.cut({"prompt": "abc"}, tokens, 4) == {"prompt": "abc"}
    assert frame.cut({"prompt": "a\u00e9\u00e9b"}, tokens, 5) == {"prompt": "a\u00e9"}  # a letter of two bytes is not cut in the middle
    with pytest.raises(ValueError, match="leaves 1 tokens for '!' and a text"):
        frame.cut({"prompt": "abc"}, tokens, 1)


def test_an_unknown_kind_or_split_is_refused():
    with pytest.raises(ValueError, match="kind must be one of reviews, docstrings, got 'news'"):
        gym.make("TextGen/Summarize-v0", kind="news")
    with pytest.raises(ValueError, match='split must be "train" or "held_out", got \'test\''):
        short_review(np.random.default_rng(0), "test")


def test_the_environment_of_reviews_is_pickled_and_goes_on_alike():
    env = gym.make_vec("TextGen/Summarize-v0", num_envs=2, autoreset_mode=DISABLED, feedback=ExactMatch())
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    mask = {"reset_mask": np.array([True, False])}
    first, second = env.reset(options=mask)[0], twin.reset(options=mask)[0]
    assert (first["input_ids"] == second["input_ids"]).all()


def test_an_environment_of_summaries_is_made_again_from_its_spec():
    env = gym.make("TextGen/Summarize-v0", tokenizer=load_tokens("bytes"), max_prompt_tokens=200, feedback=ExactMatch())
    first, second = env.reset(seed=0)[0], gym.make(env.spec).reset(seed=0)[0]
    assert (first["input_ids"] == second["input_ids"]).all()
