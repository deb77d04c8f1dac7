"""Sources that judge how a response is written: copying, readability, words to avoid, grammar, politeness."""

from __future__ import annotations

import math
import pickle
import random
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from feedback import Copying, FleschKincaidGrade, FleschReadingEase, Grammar, Politeness, SafeWords, Sentiment
from feedback.politeness import STRATEGIES
from feedback.readability import mean_lengths, syllables
from feedback.source import Source
from tests.test_feedback_rules import told
from text_env.episode import Ending, Episode, Judgement

ROOT = Path(__file__).parents[1]


def judged(source: Source, episodes: Sequence[Episode]) -> list[Judgement]:
    return list(source(episodes))  # type: ignore[arg-type]


def scores(source: Source, *responses: str, prompt: str = "The film was") -> list[float | None]:
    return [judgement and judgement.score for judgement in judged(source, told(*responses, prompt=prompt))]


# Copying


def test_copying_is_the_share_of_n_grams_that_stand_in_the_prompt() -> None:
    prompt = "A dog barked at the red car in the street."
    # a dog barked | dog barked at | barked at a | at a red | a red car: two of five
    assert scores(Copying(n=3), "A DOG barked at a red car!", "at the red", "the red dog", prompt=prompt) == [0.4, 1.0, 0.0]
    assert scores(Copying(n=1), "the red dog runs", prompt=prompt) == [0.75]


def test_the_longest_run_is_counted_against_the_length_of_the_response() -> None:
    prompt = "A dog barked at the red car in the street."
    (judgement,) = judged(Copying("longest run"), told("we saw the red car in my street", prompt=prompt))
    assert judgement.parts == {"longest run": 4.0}
    assert judgement.score == 4 / 8


def test_the_longest_run_equals_a_search_of_all_runs() -> None:
    draw = random.Random(0)
    for _ in range(100):
        source, text = (draw.choices("ab", k=draw.randint(0, 12)) for _ in range(2))
        runs = [text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)]
        common = [run for run in runs if any(source[at : at + len(run)] == run for at in range(len(source)))]
        (judgement,) = judged(Copying(), told(" ".join(text), prompt=" ".join(source)))
        assert judgement.parts["longest run"] == max(map(len, common), default=0)


def test_copying_of_tokens_reads_the_prompts_ids() -> None:
    (whole,) = told("你好吗", prompt="你好", ending=Ending.LENGTH)
    ids = "你好".encode()
    prompt = type(whole.prompt)("你好", whole.ids[: len(ids)])
    episode = Episode(prompt, whole.ids, whole.is_action, whole.response, whole.ending)
    assert judged(Copying(n=1), [episode])[0].score == 0.0, "in words it is another word"
    (judgement,) = judged(Copying("longest run", of="tokens"), [episode])
    assert judgement.score == 6 / 9


def test_the_whole_prompt_is_all_copied_and_nothing_is_not() -> None:
    prompt = "one two three four five"
    for measure in ("n-grams", "longest run"):
        assert scores(Copying(measure), prompt, "", "one", prompt=prompt)[:2] == [1.0, 0.0]  # type: ignore[arg-type]


def test_a_changed_word_in_every_n_games_copying_but_not_the_longest_run_as_much() -> None:
    prompt = "one two three four five six seven eight nine"
    text = "one two x four five x seven eight x"
    assert scores(Copying(n=3), text, prompt=prompt) == [0.0]
    assert scores(Copying("longest run"), text, prompt=prompt) == [2 / 9]


# readability

# hand-counted: words, sentences, syllables
HAND = [
    ("The cat sat on the mat.", 6, 1, 6),
    ("This sentence, taken as a reading passage unto itself, is being used to prove a point.", 16, 1, 23),
    ("We wanted a simple table. It weighs 3.5 pounds!", 10, 2, 13),  # "3" and "5" are words of a syllable each
    ("“Stop!” he said. Really? Yes...", 5, 4, 6),
]


@pytest.mark.parametrize(("text", "num_words", "num_sentences", "num_syllables"), HAND)
def test_lengths_of_sentences_and_words_are_those_counted_by_hand(
    text: str, num_words: int, num_sentences: int, num_syllables: int
) -> None:
    assert mean_lengths(text) == (num_words / num_sentences, num_syllables / num_words)


def test_both_formulas_give_the_figures_of_hand_counts() -> None:
    (easy, published) = judged(FleschReadingEase(), told(HAND[0][0], HAND[1][0]))
    assert (easy.score, easy.parts["ease"]) == (100.0, pytest.approx(206.835 - 1.015 * 6 - 84.6))
    assert published.score == pytest.approx(206.835 - 1.015 * 16 - 84.6 * 23 / 16)
    assert round(published.score) == 69, "the figure that is published for this sentence"
    (grade,) = judged(FleschKincaidGrade(), told(HAND[1][0]))
    assert grade.score == pytest.approx(0.39 * 16 + 11.8 * 23 / 16 - 15.59)


def test_readability_is_held_within_its_scale_and_the_part_is_not() -> None:
    hard = "Incomprehensibilities " * 20
    (ease,) = judged(FleschReadingEase(), told(hard))
    (grade,) = judged(FleschKincaidGrade(), told(hard))
    assert ease.score == 0.0 > ease.parts["ease"]
    assert grade.score == 18.0 < grade.parts["grade"]


def test_a_response_without_words_is_not_easy_and_has_no_grade() -> None:
    assert scores(FleschReadingEase(), "", "...!") == [0.0, 0.0]
    assert scores(FleschKincaidGrade(), "", "...!") == [None, None]


def test_syllables_agree_with_a_pronouncing_dictionary() -> None:
    spec = find_spec("pocketsphinx")
    assert spec is not None and spec.submodule_search_locations
    lines = (Path(spec.submodule_search_locations[0]) / "model" / "en-us" / "cmudict-en-us.dict").read_text("utf-8").splitlines()[::40]
    spoken = {word: sum(sound[:2] in VOWEL_SOUNDS for sound in sounds) for word, *sounds in map(str.split, lines)}
    words = [word for word in spoken if word.isalpha() and len(word) > 2]
    assert len(words) > 2000
    assert sum(syllables(word) == spoken[word] for word in words) / len(words) > 0.9


VOWEL_SOUNDS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}


def test_full_stops_game_readability() -> None:
    text = "Nevertheless our accumulated observations demonstrate considerable improvement"
    whole, cut = scores(FleschReadingEase(), f"{text}.", "I am. I do. So it is.")
    assert whole == 0.0 and cut == 100.0


# words to avoid


def test_a_listed_word_is_found_whole_and_in_any_case() -> None:
    source = SafeWords(words=["darn", "heck"])
    assert scores(source, "Oh DARN.", "darning", "what the heck!", "", "a fine day") == [0.0, 1.0, 0.0, 1.0, 1.0]


def test_the_share_counts_the_words_that_belong_to_a_listed_one() -> None:
    source = SafeWords("share", words=["darn", "holy cow"])
    (judgement,) = judged(source, told("Holy  cow, this is a darn fix, darn it"))
    assert judgement.parts == {"listed words": 4.0}
    assert judgement.score == pytest.approx(1 - 4 / 9)
    assert judgement.critique == "listed: holy, cow, darn"


def test_the_longest_entry_is_found_first() -> None:
    (judgement,) = judged(SafeWords("share", words=["holy", "holy cow"]), told("holy cow and holy day"))
    assert judgement.parts == {"listed words": 3.0}


def test_an_entry_of_several_words_is_found_across_spaces_and_hyphens_only() -> None:
    source = SafeWords(words=["holy cow"])
    assert scores(source, "holy cow", "holy-cow", "holy_cow", "holy\ncow", "holy, cow", "holycow", "holy") == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "text", ["h3ck", "d@rn", "d4rn", "shuck5", "$hucks", "h*ck", "he*k", "sil1y", "s|lly", "dårn", "da\u200brn", "*darn*", "darn's"]
)
def test_signs_that_look_like_letters_hide_nothing(text: str) -> None:
    source = SafeWords(words=["heck", "darn", "shucks", "silly"])
    assert scores(source, f"so {text} it is") == [0.0]


def test_disguises_can_be_taken_for_what_they_are() -> None:
    source = SafeWords(words=["ass", "heck"], disguises=False)
    assert scores(source, "h3ck", "heck") == [1.0, 0.0]


@pytest.mark.parametrize("text", ["455", "the 4 5 5", "**", "as several", "class", "pass it", "a**", "3.14 is $5"])
def test_numbers_stars_and_parts_of_words_are_not_taken_for_disguises(text: str) -> None:
    assert scores(SafeWords(words=["ass", "heck"]), text) == [1.0]


def test_each_entry_of_the_packages_list_is_found_unless_it_is_allowed() -> None:
    from feedback.safe_words import _package_words

    entries = _package_words()
    assert len(entries) == 916
    assert scores(SafeWords(), *(f"I say {entry} to you" for entry in entries)) == [0.0] * len(entries)
    assert scores(SafeWords(allowed=["Damn"]), "damn", "d4mn", "bastard") == [1.0, 1.0, 0.0]


def test_the_package_agrees_about_plain_sentences() -> None:
    from better_profanity.better_profanity import Profanity

    theirs, draw = Profanity(), random.Random(0)
    pieces = [
        "damn",
        "the",
        "house",
        "bastard",
        "was",
        "good,",
        "b1tch",
        "hell.",
        "Idiot",
        "and",
        "$hit",
        "tree",
        "c0ck",
        "class",
        "analysis",
    ]
    texts = [" and ".join(draw.choices(pieces, k=6)) for _ in range(12)]
    assert scores(SafeWords(), *texts) == [float(not theirs.contains_profanity(text)) for text in texts]


def test_letters_apart_and_insults_that_are_not_listed_game_it() -> None:
    assert scores(SafeWords(words=["heck"]), "h e c k", "you are as dull as a stone", "") == [1.0, 1.0, 1.0]


def test_a_list_that_forbids_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("the list must hold a word that is not allowed, got words=['a'] and allowed=['A']")):
        SafeWords(words=["a"], allowed=["A"])
    with pytest.raises(ValueError, match=re.escape("words must be a list of words, got the text 'darn'")):
        SafeWords(words="darn")
    with pytest.raises(ValueError, match=re.escape('measure must be "any" or "share", got \'all\'')):
        SafeWords("all")  # type: ignore[arg-type]


# grammar


def test_grammar_counts_the_problems_of_the_response_alone() -> None:
    source = Grammar()
    wrong = told(" an very good film and I liked the the end.", prompt="Teh film was")
    (judgement,) = judged(source, wrong)
    problems = sum(judgement.parts.values())
    assert problems >= 2, judgement
    assert judgement.score == pytest.approx(1 - problems / 10)
    assert "Teh" not in judgement.critique
    assert "'the the'" in judgement.critique
    assert scores(Grammar(strictness=10.0), wrong[0].response, prompt="Teh film was") == [0.0]


def test_a_response_goes_on_with_the_prompts_sentence_unless_it_is_read_alone() -> None:
    episodes = told(" the dog.", prompt="We saw the")
    assert judged(Grammar(), episodes)[0].score == 0.5, "the word that is repeated stands in the prompt"
    assert judged(Grammar(of="response"), episodes)[0].score == 1.0


def test_kinds_of_problems_can_be_left_out() -> None:
    text = "I hav a dog."
    (judgement,) = judged(Grammar(of="response"), told(text))
    assert list(judgement.parts) == ["Spelling"]
    assert judged(Grammar(of="response", ignored=["Spelling"]), told(text))[0].score == 1.0


def test_dialects_spell_differently() -> None:
    text = "The colour of the theatre."
    american, british = (judged(Grammar(of="response", dialect=dialect), told(text))[0] for dialect in ("american", "british"))
    assert american.score < british.score == 1.0


def test_grammar_gives_the_same_scores_from_many_threads() -> None:
    shared = Grammar()
    episodes = told(*(f" an good film the the {number} times." for number in range(30)))
    alone = [judgement.score for judgement in judged(shared, episodes)]
    answers: list[list[float | None]] = []
    threads = [
        threading.Thread(target=lambda: answers.append([judgement.score for judgement in judged(shared, episodes)])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone] * 4


def test_nothing_written_is_not_good_grammar_and_one_sentence_over_and_over_is() -> None:
    assert scores(Grammar(of="response"), "", "?!") == [0.0, 0.0]
    assert scores(Grammar(of="response"), "This is good. " * 10) == [1.0]


# politeness


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thank you for your help.", {"gratitude"}),
        ("Hello. Could you please look at this? I\u2019m sorry to ask.", {"greeting", "could you", "please", "apology"}),
        ("Please remove this.", {"please first"}),
        ("Go away, you idiot.", {"order", "insult"}),
        ("It rains. Why do you ask? So what? You know, actually.", {"direct question", "direct start", "you first", "factuality"}),
        ("Nice work! By the way, perhaps we can you know.", {"deference", "by the way", "hedge", "can you"}),
        ("The displease of a gopher, thankless.", set()),
        ("", set()),
    ],
)
def test_strategies_are_found_where_they_stand(text: str, expected: set[str]) -> None:
    (judgement,) = judged(Politeness(), told(text))
    assert set(judgement.parts) == expected
    weights = {strategy.name: strategy.weight for strategy in STRATEGIES}
    assert judgement.score == pytest.approx(math.tanh(sum(weights[name] for name in expected)))


def test_a_polite_request_ranks_above_a_plain_one_and_that_above_a_rude_one() -> None:
    ranked = scores(Politeness(), "Could you please help me? Thank you.", "I need some help.", "Help me, you stupid fool. Hurry up.")
    assert all(one > other for one, other in pairwise(ranked)), ranked  # type: ignore[operator]


def test_thanks_repeated_pays_once_but_one_phrase_of_each_kind_games_politeness() -> None:
    once, often, heap = scores(Politeness(), "Thanks.", "Thanks. " * 20, "Hello, thank you, great work, sorry, could you please")
    assert once == often
    assert heap is not None and heap > 0.99


# what all of them share


@pytest.mark.parametrize(
    "source",
    [Copying("longest run", 2), FleschReadingEase(), FleschKincaidGrade(), SafeWords("share", ["a"]), Grammar("response"), Politeness()],
)
def test_a_source_of_style_is_pickled_as_its_settings(source: Source) -> None:
    pickled = pickle.dumps(source)
    assert len(pickled) < 250
    assert repr(pickle.loads(pickled)) == repr(source)


@pytest.mark.parametrize(("source", "package"), [(Grammar, "harper"), (SafeWords, "better-profanity")])
def test_a_source_without_its_package_says_what_to_install(source: type[Source], package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source is Grammar:
        monkeypatch.setitem(sys.modules, "harper", None)
    else:
        from feedback import safe_words

        safe_words._package_words.cache_clear()
        safe_words._index.cache_clear()
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"needs {package}") + '.*pip install "textgen-gym\\[metrics\\]"'):
        source()
    assert Sentiment()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strictness": 0.0}, "strictness must be above 0, got 0.0"),
        ({"dialect": "scottish"}, "dialect must be one of american, british, australian, canadian, indian, got 'scottish'"),
        ({"of": "prompt"}, 'of must be "response" or "text", got \'prompt\''),
        ({"ignored": "Spelling"}, "ignored must be a list of kinds, got the text 'Spelling'"),
    ],
)
def test_grammar_refuses_settings_that_mean_nothing(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Grammar(**arguments)  # type: ignore[arg-type]


def test_copying_refuses_settings_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        Copying(n=0)
    with pytest.raises(ValueError, match='measure must be "n-grams" or "longest run", got \'all\''):
        Copying("all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='of must be "words" or "tokens", got \'letters\''):
        Copying(of="letters")  # type: ignore[arg-type]


def test_finding_the_sources_loads_no_package_of_metrics_and_a_word_list_is_read_without_its_package() -> None:
    code = (
        "import sys\nfrom feedback.catalogue import find_sources\nfind_sources()['feedback.safe_words:SafeWords']()\n"
        "packages = ('sacrebleu', 'rouge_score', 'nltk', 'harper', 'better_profanity', 'torch', 'transformers')\n"
        "print([name for name in packages if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"
