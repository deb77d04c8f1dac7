"""Hold questions and answers to the passage or the library they come from, and the environment to its contracts."""

from __future__ import annotations

import pickle
import re
import warnings
from datetime import date
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.tiny_sources import same
from text_env.material import task_packages
from text_env.material.told_passages import ToldPassages
from text_env.material.world_facts import LANGUAGES, QUESTIONS, WorldFacts
from text_env.tasks.answer_env import ANSWER_TOKENS, FACT_TOKENS, QUESTION_TOKENS, AnswerEnv, AnswerVectorEnv, answer_options
from text_env.tokens import load_tokens

babel = pytest.importorskip("babel")
babel_numbers = pytest.importorskip("babel.numbers")
ID = "TextGen/Answer-v0"
JUDGED = {"feedback": "feedback.exact_match:ExactMatch"}
KINDS = [{}, {"kind": "facts"}]
TINYLM = load_tokens("tinylm")


def drawn(material, count, seed=0):
    rng = np.random.default_rng(seed)
    return [material(rng) for _ in range(count)]


def facts_of(passage):
    """Read the facts of a passage: {(person, relation): what is said}."""
    patterns = {"Where is": r"(\w+) is in (\w+)\.", "What does": r"(\w+) likes (\w+)\.", "What colour": r"(\w+) has a (\w+) hat\."}
    return {(name, kind): what for kind, pattern in patterns.items() for name, what in re.findall(pattern, passage)}


@pytest.mark.parametrize("num_facts", [1, 3, 12])
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_answer_is_what_the_passage_says_of_the_person_asked_about(num_facts, split):
    for row in drawn(ToldPassages(num_facts, split), 50):
        *told, question = re.split(r"(?<=[.]) ", row["prompt"])
        facts = facts_of(" ".join(told))
        assert len(told) == len(facts) == num_facts
        (name,) = {name for name, _ in facts} & set(re.findall(r"\w+", question))
        (kind,) = [kind for kind in ("Where is", "What does", "What colour") if question.startswith(kind)]
        assert row["references"] == [facts[name, kind]]


def test_every_person_of_a_passage_is_asked_about_alike_and_the_id_says_which_fact():
    places = []
    for row in drawn(ToldPassages(3), 150):
        *told, question = re.split(r"(?<=[.]) ", row["prompt"])
        name, _, answer = row["id"].split()
        assert name in question and row["references"] == [answer]
        places.append(next(place for place, fact in enumerate(told) if fact.startswith(name)))
    assert np.bincount(places, minlength=3).min() > 25


def test_a_fact_of_a_passage_is_told_on_one_side_only():
    told = {split: [facts_of(row["prompt"]) for row in drawn(ToldPassages(4, split), 1500)] for split in ("train", "held_out")}
    train, held_out = ({(*key, what) for facts in told[split] for key, what in facts.items()} for split in told)
    assert len(train) > 300 and len(held_out) > 70
    assert not train & held_out


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_place_or_language_is_on_both_sides(language):
    train, held_out = (WorldFacts(language, split=split).rows() for split in ("train", "held_out"))
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in held_out}
    subjects = [{(row["id"].startswith("language_name"), row["id"].split()[1]) for row in rows} for rows in (train, held_out)]
    assert subjects[0] and subjects[1] and not subjects[0] & subjects[1]
    assert {row["id"].split()[0] for row in train} == set(QUESTIONS) == {row["id"].split()[0] for row in held_out}
    assert len({row["prompt"] for row in train}) == len(train)


def rows_by_id(language, question):
    return {row["id"]: row for split in ("train", "held_out") for row in WorldFacts(language, (question,), split).rows()}


def test_names_are_those_that_babel_gives():
    english, french, spanish = (babel.Locale(name) for name in ("en", "fr", "es"))
    for code in ("DE", "JP", "US"):
        row = rows_by_id("en", "place_name")[f"place_name {code} fr"]
        assert row["references"] == [french.territories[code]]
        assert row["prompt"] == f"What is {english.territories[code]} called in French?"
    row = rows_by_id("fr", "language_name")["language_name de es"]
    assert (row["references"], spanish.languages["de"] in row["references"]) == (["alemán"], True)
    assert "en espagnol" in row["prompt"] and french.languages["de"] in row["prompt"]


def test_every_currency_and_every_official_language_is_accepted():
    panama = rows_by_id("en", "currency")["currency PA"]["references"]
    assert {"Panamanian Balboa", "PAB", "US Dollar", "USD"} <= set(panama)
    assert rows_by_id("de", "official_language")["official_language CH"]["references"] == ["Deutsch", "Französisch", "Italienisch"]
    assert "currency AQ" not in rows_by_id("en", "currency")  # Antarctica has none


def test_the_questions_are_those_of_a_fixed_day_and_not_of_today(monkeypatch):
    before = WorldFacts().rows()
    todays = babel_numbers.get_territory_currencies
    monkeypatch.setattr(
        babel_numbers, "get_territory_currencies", lambda code, start_date=None: todays(code, start_date or date(1990, 1, 1))
    )
    assert babel_numbers.get_territory_currencies("DE") == ["DEM"]  # a machine whose calendar says 1990
    assert WorldFacts().rows() == before


def fits(rows, after, budget):
    longest = 0
    for row in rows:
        prompt_ids = TINYLM.encode_prompt(row["prompt"] + after).tolist()
        for reference in row["references"]:
            ids = TINYLM.encode(" " + reference).tolist()
            assert TINYLM.decode(ids) == " " + reference
            assert TINYLM.encode_prompt(f"{row['prompt']}{after} {reference}").tolist() == prompt_ids + ids
            longest = max(longest, len(ids) + 1)
    assert longest <= budget
    return longest


def test_every_answer_fits_the_budget_and_comes_back_from_its_tokens():
    passages = [row for split in ("train", "held_out") for row in drawn(ToldPassages(3, split), 300)]
    assert fits(passages, "\nA:", ANSWER_TOKENS["passage"]) == ANSWER_TOKENS["passage"]
    facts = [row for language in ("en", "de") for row in WorldFacts(language).rows()]
    assert fits(facts, "\nA:", ANSWER_TOKENS["facts"]) == ANSWER_TOKENS["facts"]


@pytest.mark.parametrize("num_facts", [1, 3, 12])
def test_every_passage_fits_the_budget(num_facts):
    rows = drawn(ToldPassages(num_facts), 300)
    assert max(len(TINYLM.encode_prompt(row["prompt"] + "\nA:")) for row in rows) <= FACT_TOKENS * num_facts + QUESTION_TOKENS


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_reference_is_right_and_another_word_is_not(options):
    env = gym.make(ID, **JUDGED, **options)
    assert isinstance(env.unwrapped, AnswerEnv)
    for seed in range(5):
        env.reset(seed=seed)
        for text, expected in [*((text, 1.0) for text in env.unwrapped.unfinished().prompt.references), (" no", 0.0)]:
            env.reset(seed=seed)
            for token in [*env.unwrapped.tokens.encode(text).tolist(), env.unwrapped.tokens.eos_ids[0]]:
                _, reward, is_over, _, info = env.step(token)
            assert (reward, is_over, info["ending"]) == (expected, True, "eos")


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_gymnasiums_check_finds_nothing_in_an_answer(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID, **JUDGED, **options).unwrapped)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_seed_decides_the_questions_of_many_rows_also_after_pickling(options):
    def run(seed):
        env = gym.make_vec(ID, num_envs=3, max_new_tokens=2, **JUDGED, **options)
        assert isinstance(env.unwrapped, AnswerVectorEnv)
        env = pickle.loads(pickle.dumps(env.unwrapped))
        return [env.reset(seed=seed)[0], *(env.step(np.full(3, 70))[0] for _ in range(6))]

    first, again, other = run(1), run(1), run(2)
    assert all(map(same, first, again))
    assert not all(map(same, first, other))


def test_a_chat_model_is_asked_for_the_answer_only_and_answers_without_a_space():
    row = answer_options(chat_template=True)["prompts"]["train"](np.random.default_rng(0))
    assert row["prompt"].startswith("Answer with the answer only.\n\n")
    assert row["references"] == [row["references"][0].strip()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "riddles"}, "kind must be one of 'passage', 'facts', got 'riddles'"),
        ({"num_facts": 0}, "num_facts must be from 1 to 12, the people there are, got 0"),
        ({"kind": "facts", "language": "it"}, "language must be one of 'en', 'fr', 'de', 'es', got 'it'"),
        ({"kind": "facts", "questions": ("age",)}, r"questions must be some of 'currency', .*, got \('age',\)"),
        ({"kind": "facts", "questions": ()}, r"questions must be some of .*, got \(\)"),
        ({"kind": "facts", "num_facts": 3}, "kind='facts' has no argument num_facts; it has language, questions, split"),
        ({"split": "test"}, 'split must be "train" or "held_out", got \'test\''),
    ],
)
def test_a_question_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make(ID, **JUDGED, **options)


def test_facts_without_babel_say_how_to_install_it(monkeypatch):
    monkeypatch.setattr(task_packages, "find_spec", lambda name: None if name == "babel" else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=r'facts need Babel: pip install "textgen-gym\[tasks\]"'):
        gym.make(ID, kind="facts", **JUDGED)
