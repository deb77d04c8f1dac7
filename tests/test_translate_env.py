"""Hold translations of numbers and dates to the libraries they come from, and the environment to its contracts."""

from __future__ import annotations

import datetime
import pickle
import subprocess
import sys
import warnings
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.tiny_sources import DISABLED, MODES, same
from text_env.material import task_packages
from text_env.material.hashed_split import HELD_OUT_SHARE, split_of
from text_env.material.number_words import NumberWords, is_misspelt, number_references
from text_env.material.written_dates import FORMATS, WrittenDates
from text_env.names import resolve
from text_env.tasks.translate_env import DATE_TOKENS, NUMBER_TOKENS, TranslateEnv, TranslateVectorEnv, translate_options
from text_env.tokens import load_tokens

num2words = pytest.importorskip("num2words").num2words
dates = pytest.importorskip("babel.dates")
ID = "TextGen/Translate-v0"
LANGUAGES = ("fr", "de", "es")
JUDGED = {"feedback": "feedback.exact_match:ExactMatch"}
KINDS = [{}, {"kind": "dates"}, {"kind": "interface"}]
MISSING = [("interface", "django", "Django"), ("interface", "jupyterlab_language_pack_fr_FR", "jupyterlab-language-pack-fr-FR")]
TINYLM = load_tokens("tinylm")


def drawn(material, count, seed=0):
    rng = np.random.default_rng(seed)
    return [material(rng) for _ in range(count)]


def write(env, text):
    """Write a text and the end token; return the score and how the response ended."""
    tokens = env.unwrapped.tokens
    for token in [*tokens.encode(text).tolist(), tokens.eos_ids[0]]:
        _, _, is_over, _, info = env.step(token)
    assert is_over
    return info["score"], info["ending"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_number_is_asked_and_answered_in_the_words_of_num2words(language, split):
    for row in drawn(NumberWords(language, 0, 999_999, split), 50):
        number = int(row["id"])
        assert row["prompt"] == num2words(number, lang="en")
        assert row["references"][0] == num2words(number, lang=language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("date_format", FORMATS)
def test_a_date_is_asked_and_answered_as_babel_writes_it(language, date_format):
    for row in drawn(WrittenDates(language, 1066, 2525, date_format), 20):
        day = datetime.date.fromisoformat(row["id"])
        assert 1066 <= day.year <= 2525
        assert row["prompt"] == dates.format_date(day, date_format, locale="en")
        assert row["references"] == [dates.format_date(day, date_format, locale=language)]


def test_what_france_and_what_switzerland_say_are_both_right():
    assert number_references(71, "fr") == ["soixante et onze", "septante et un"]
    assert number_references(180, "fr") == ["cent quatre-vingts", "cent huitante"]
    assert number_references(42, "fr") == ["quarante-deux"]
    assert number_references(271, "fr") == ["deux cent soixante et onze"]  # the Swiss form is misspelt: deux cents septante et un
    assert number_references(71, "de") == ["einundsiebzig"]


def test_a_number_that_the_library_misspells_is_never_drawn():
    wrong = [number for number in (1000, 1021, 11_000, 21_000, 31_007, 101_000, 111_000) if is_misspelt(number, "es")]
    assert wrong == [21_000, 31_007, 101_000]
    assert not any(is_misspelt(number, language) for number in range(2000) for language in LANGUAGES)
    low_numbers = {int(row["id"]) for row in drawn(NumberWords("es", 20_900, 21_100), 200)}
    assert min(low_numbers) >= 20_900 and max(low_numbers) < 21_000
    for number in wrong:
        assert "uno mil" in num2words(number, lang="es")


def test_no_number_and_no_day_is_on_both_sides_and_all_are_on_one():
    numbers = {split: NumberWords("fr", 0, 999, split) for split in ("train", "held_out")}
    sides = [[material.has(number) for material in numbers.values()] for number in range(1000)]
    assert all(sum(side) == 1 for side in sides)
    share = sum(side[1] for side in sides) / 1000
    assert abs(share - HELD_OUT_SHARE) < 3 * (0.2 * 0.8 / 1000) ** 0.5
    days = {
        split: {row["id"] for language in LANGUAGES for row in drawn(WrittenDates(language, 2000, 2000, "long", split), 600)}
        for split in ("train", "held_out")
    }
    assert days["train"] and days["held_out"] and not days["train"] & days["held_out"]


def test_the_numbers_drawn_are_those_of_the_split_in_every_language_and_cover_it():
    expected = {str(number) for number in range(60) if split_of(f"number {number}") == "held_out"}
    for language in LANGUAGES:
        assert {row["id"] for row in drawn(NumberWords(language, 0, 59, "held_out"), 300)} == expected


def measured(language, pairs):
    """Return the most tokens of a prompt, and of a reference with its end token; every reference must come back from its tokens."""
    tokens = TINYLM
    longest = np.zeros(2, dtype=int)
    for source, references in pairs:
        prompt = f"{language}: {source}\n"
        prompt_ids = tokens.encode_prompt(prompt).tolist()
        for reference in references:
            ids = tokens.encode(reference).tolist()
            assert tokens.decode(ids) == reference
            assert tokens.encode_prompt(prompt + reference).tolist() == prompt_ids + ids
            longest = np.maximum(longest, [len(prompt_ids), len(ids) + 1])
    return longest


def test_the_budget_of_small_numbers_is_what_the_longest_of_them_needs():
    english = [num2words(number, lang="en") for number in range(1000)]
    longest = [
        measured(language, ((text, number_references(number, language)) for number, text in enumerate(english))) for language in LANGUAGES
    ]
    assert tuple(np.max(longest, axis=0)) == NUMBER_TOKENS[3]


@pytest.mark.parametrize(("language", "digits"), [(language, digits) for language in LANGUAGES for digits in (4, 5, 6)])
def test_every_large_number_fits_the_budget(language, digits):
    rows = drawn(NumberWords(language, 0, 10**digits - 1), 60)
    assert (measured(language, ((row["prompt"], row["references"]) for row in rows)) <= NUMBER_TOKENS[digits]).all()


@pytest.mark.parametrize("date_format", FORMATS)
def test_every_date_fits_the_budget_and_little_of_it_is_left(date_format):
    longest = []
    for language in LANGUAGES:
        rows = drawn(WrittenDates(language, 1, 9999, date_format), 250)
        longest.append(measured(language, ((row["prompt"], row["references"]) for row in rows)))
    left = DATE_TOKENS[date_format] - np.max(longest, axis=0)
    assert (left >= 0).all() and (left <= 1).all()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_reference_is_right_and_the_source_is_not(options):
    env = gym.make(ID, **JUDGED, **options)
    assert isinstance(env.unwrapped, TranslateEnv)
    for seed in range(5):
        env.reset(seed=seed)
        prompt = env.unwrapped.unfinished().prompt
        assert prompt.text.startswith("fr: ") and prompt.text.endswith("\n")
        for reference in prompt.references:
            assert write(env, reference) == (1.0, "eos")
            env.reset(seed=seed)
        assert write(env, "one")[0] == 0.0


def test_a_response_may_end_with_the_line():
    env = gym.make(ID, **JUDGED)
    env.reset(seed=0)
    reference = env.unwrapped.unfinished().prompt.references[0]
    for token in env.unwrapped.tokens.encode(reference + "\n"):
        _, reward, is_over, _, info = env.step(token)
    assert (reward, is_over, info["ending"], info["response"]) == (1.0, True, "stop", reference)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_gymnasiums_check_finds_nothing_in_a_translation(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID, **JUDGED, **options).unwrapped)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("options", KINDS[:2], ids=str)
def test_a_seed_decides_the_translations_of_many_rows(mode, options):
    def run(seed):
        env = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, max_new_tokens=2, **JUDGED, **options)
        assert isinstance(env, TranslateVectorEnv)
        outcomes = [env.reset(seed=seed)[0]]
        for _ in range(6):
            observation, _, terminated, _, _ = env.step(np.full(3, 70))
            outcomes.append(observation)
            if mode is DISABLED and terminated.any():
                outcomes.append(env.reset(options={"reset_mask": terminated})[0])
        return outcomes

    first, again, other = run(1), run(1), run(2)
    assert all(map(same, first, again))
    assert not all(map(same, first, other))


def test_held_out_prompts_are_drawn_where_they_are_asked_for():
    env = gym.make_vec(ID, num_envs=50, split="held_out", **JUDGED)
    env.reset(seed=0)
    numbers = {episode.prompt.id for episode in env.unwrapped.writing.prefixes.episodes(np.arange(50))}
    assert numbers and all(split_of(f"number {number}") == "held_out" for number in numbers)


def test_an_environment_that_has_been_pickled_goes_on_as_before():
    env = gym.make(ID, kind="dates", language="de", **JUDGED).unwrapped
    env.reset(seed=3)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        env.reset()
        twin.reset()
        assert env.unfinished().prompt.text == twin.unfinished().prompt.text
    again = gym.make(gym.make(ID, kind="dates", language="de", **JUDGED).spec).unwrapped
    again.reset(seed=3)
    assert again.unfinished().prompt.text.startswith("de: ")


SPAWNED = """
import gymnasium as gym, numpy as np, text_env
if __name__ == "__main__":
    context = {"context": "spawn"}
    env = gym.make_vec(TASK, num_envs=2, vectorization_mode="async", vector_kwargs=context, feedback="feedback.exact_match:ExactMatch")
    observation, _ = env.reset(seed=0)
    env.step(np.zeros(2, dtype=np.int64))
    env.close()
    print(observation["attention_mask"].sum() > 4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", [ID, "TextGen/Answer-v0"])
def test_spawned_workers_make_the_task(task, tmp_path):
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED.replace("TASK", repr(task)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "it"}, "language must be one of 'fr', 'de', 'es', got English to 'it'"),
        ({"language": "it", "kind": "dates"}, "language must be one of 'fr', 'de', 'es', got English to 'it'"),
        ({"kind": "poems"}, "kind must be one of 'numbers', 'dates'.*, got 'poems'"),
        ({"low": 9, "high": 3}, "0 <= low <= high <= 999999, got low=9 and high=3"),
        ({"high": 1_000_000}, "0 <= low <= high <= 999999, got low=0 and high=1000000"),
        ({"low": 1, "high": 1, "split": "held_out"}, "there is no held_out number between low=1 and high=1: widen the range"),
        ({"kind": "dates", "first_year": 2001, "last_year": 2000}, "first_year=2001 and last_year=2000"),
        ({"kind": "dates", "date_format": "short"}, "date_format must be one of 'long', 'full', 'medium', got 'short'"),
        ({"kind": "dates", "low": 3}, "kind='dates' has no argument low; it has date_format, first_year, language, last_year, split"),
        ({"kind": "interface", "language": "it"}, "language must be one of 'fr', 'de', 'es', got English to 'it'"),
        ({"kind": "interface", "catalogues": ("gnome",)}, r"catalogues must be some of 'jupyterlab', 'django', got \('gnome',\)"),
        (
            {"kind": "interface", "fewest_words": 900, "most_words": 901},
            "there is no train string of fewest_words=900 to most_words=901 words",
        ),
        ({"split": "test"}, 'split must be "train" or "held_out", got \'test\''),
        ({"prompts": ["one"]}, 'this task makes its own prompts: for others use gym.make\\("TextGen-v0"'),
    ],
)
def test_a_translation_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make(ID, **JUDGED, **options)


@pytest.mark.parametrize(("kind", "module", "package"), [("numbers", "num2words", "num2words"), ("dates", "babel", "Babel"), *MISSING])
def test_a_package_that_is_missing_is_named_with_the_line_to_install_it(kind, module, package, monkeypatch):
    monkeypatch.setattr(task_packages, "find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=rf'need {package}: pip install "textgen-gym\[tasks\]"'):
        gym.make(ID, kind=kind, **JUDGED)


def test_a_chat_model_is_asked_in_words():
    own = translate_options(language="es", chat_template=True)
    row = own["prompts"]["train"](np.random.default_rng(0))
    assert row["prompt"] == f"Translate into Spanish. Answer with the translation only.\n\n{num2words(int(row['id']), lang='en')}"


class Share:
    """Score how much of the reference a response begins with, from 0 to 1."""

    low, high, unit = 0.0, 1.0, "share"

    def __call__(self, episodes):
        return [share_of(episode.prompt.references[0], episode.response) for episode in episodes]


def share_of(reference, response):
    agrees = [one == other for one, other in zip(reference, response, strict=False)]
    return [*agrees, False].index(False) / len(reference)


@pytest.mark.parametrize("name", ["", "feedback.chrf:Chrf"])
def test_what_is_paid_as_the_prefix_grows_comes_to_the_score_of_the_end(name):
    from feedback.shaping import Shaped

    if name:
        pytest.importorskip(name.partition(":")[0])
    source = resolve(name) if name else Share()
    env = gym.make(ID, feedback=Shaped(source, potential=source))
    env.reset(seed=0)
    half = env.unwrapped.unfinished().prompt.references[0][:9]
    tokens = env.unwrapped.tokens
    rewards = [float(env.step(token)[1]) for token in tokens.encode(half)]
    _, last, _, _, info = env.step(tokens.eos_ids[0])
    assert 0 < info["score"] < 1
    assert sum(rewards) + last == pytest.approx(info["score"], abs=1e-12)
    assert sum(reward > 0 for reward in rewards) >= 2
