"""Read critiques by rules: what each kind of words says, what says nothing, and that the value is bounded, monotone and explained."""

from __future__ import annotations

import math
import random

import pytest

from feedback import encoding
from feedback.encoding import Aspect, CritiqueRules, Encoded
from feedback.encoding import critique_lexicon as lexicon
from feedback.encoding.critique_emoji import EMOJI
from feedback.encoding.critique_opinions import negated, strengthened
from feedback.encoding.critique_ratings import find_ratings
from feedback.encoding.critique_table import CATEGORIES, CRITIQUES, label_of

RULES = CritiqueRules()
WRONG_IN_TRAINING = 0  # of 88; may only fall
WRONG_IN_TEST = 14  # of 44; may only fall, but not by looking at the rows


def value(text):
    return RULES(text).value


def label(text):
    return label_of(value(text))


def aspects(text):
    return {aspect.name: aspect for aspect in RULES(text).aspects}


# What an encoder returns.


@pytest.mark.parametrize("wrong", [1.01, -1.01, math.nan, math.inf])
def test_a_value_outside_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"value must be from -1 to 1, got"):
        Encoded(wrong, 0.5, "", "test")
    with pytest.raises(ValueError, match=r"polarity must be from -1 to 1, got"):
        Aspect("tone", wrong, 0.5, 0.5)


@pytest.mark.parametrize("wrong", [1.01, -0.01, math.nan])
def test_a_confidence_and_a_strength_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"confidence must be from 0 to 1, got"):
        Encoded(0.0, wrong, "", "test")
    with pytest.raises(ValueError, match=r"strength must be from 0 to 1, got"):
        Aspect("tone", 0.0, wrong, 0.5)


def test_an_abstention_has_no_confidence_and_is_not_zero():
    assert Encoded(None, 0.0, "", "test") != Encoded(0.0, 0.0, "", "test")
    with pytest.raises(ValueError, match=r"confidence must be 0 where value is None \(abstained\), got 0.5"):
        Encoded(None, 0.5, "", "test")


def test_everything_that_the_package_offers_is_there_and_nothing_else():
    assert sorted(encoding.__all__) == dir(encoding) and all(getattr(encoding, name) for name in encoding.__all__)
    with pytest.raises(AttributeError, match=r"module 'feedback.encoding' has no attribute 'no_such_name'"):
        encoding.no_such_name  # noqa: B018


# The table.


def test_no_more_critiques_of_the_training_part_are_misread_than_were():
    wrong = [(each.text, each.rating, value(each.text)) for each in CRITIQUES if not each.is_test and label(each.text) != each.label]
    assert len(wrong) <= WRONG_IN_TRAINING, wrong


def test_no_more_critiques_of_the_test_part_are_misread_than_were():
    assert sum(label(each.text) != each.label for each in CRITIQUES if each.is_test) <= WRONG_IN_TEST  # unnamed: nobody is to tune on them


def test_a_third_of_each_category_is_for_testing_and_no_critique_is_there_twice():
    assert all((len(train), len(test)) == (8, 4) for train, test in CATEGORIES.values())
    assert len({each.text.casefold() for each in CRITIQUES}) == len(CRITIQUES) == 132
    assert {each.label for each in CRITIQUES if each.is_test} == {"good", "bad", "neutral"}


# Words, and what changes them.


@pytest.mark.parametrize(
    ("text", "aspect", "sign"),
    [
        ("too long", "length", -1),
        ("It is concise.", "length", 1),
        ("awkward and hard to follow", "fluency", -1),
        ("reads smoothly", "fluency", 1),
        ("Full of typos.", "grammar", -1),
        ("perfect grammar", "grammar", 1),
        ("It hallucinated a source.", "faithfulness", -1),
        ("factually correct", "faithfulness", 1),
        ("It ignored my question.", "relevance", -1),
        ("answers the question", "relevance", 1),
        ("It repeats itself.", "repetition", -1),
        ("no repetition", "repetition", 1),
        ("condescending", "tone", -1),
        ("polite", "tone", 1),
        ("offensive", "safety", -1),
        ("harmless", "safety", 1),
        ("terrible", "overall", -1),
        ("I love it", "overall", 1),
    ],
)
def test_a_critique_is_about_a_side_of_the_text(text, aspect, sign):
    found = aspects(text)
    assert list(found) == [aspect]
    assert found[aspect].polarity == sign and found[aspect].strength > 0 and found[aspect].words
    assert math.copysign(1, value(text)) == sign


def test_a_general_word_is_about_the_side_that_is_named_beside_it():
    assert list(aspects("The tone is bad.")) == ["tone"]
    assert list(aspects("Great flow, bad spelling.")) == ["fluency", "grammar"]
    assert aspects("Great flow, bad spelling.")["grammar"].words == ("bad",)


@pytest.mark.parametrize(
    ("praise", "blame"),
    [
        ("not bad", "not good"),
        ("nothing wrong", "nothing good about it"),
        ("It isn't boring.", "It isn't good."),
        ("never rude", "never helpful"),
        ("no mistakes", "no help"),
        ("without errors", "hardly convincing"),
        ("far from bad", "far from good"),
        ("anything but boring", "anything but clear"),
        ("It avoids repetition.", "It lacks clarity."),
        ("not too long", "not a good or useful answer"),
        ("I don't think it's bad at all.", "I don't think it's good."),
        ("no longer repetitive", "no longer clear"),
        ("I can't complain.", "I dont like this"),
        ("not only good but also short", "neither clear nor correct"),
        ("couldn't be better", "could be better"),
    ],
)
def test_a_negation_turns_what_it_negates(praise, blame):
    assert value(praise) > 0.05
    assert value(blame) < -0.05


def test_a_negation_ends_at_a_comma_and_at_a_contrast():
    assert value("No, it is good") > value("it is not good")
    assert aspects("It is not rude, funny.")["overall"].polarity == 1
    assert aspects("It is not new but clear.")["fluency"].polarity == 1


def test_a_negation_reaches_over_four_words():
    assert value("not what you or he calls bad") < 0 < value("not what you would call bad")


def test_a_negation_is_milder_than_the_opposite():
    assert 0 < value("not terrible") < value("good") and value("bad") < value("not great") < 0
    assert negated(-0.6, "no") == 0.5
    assert all(negated(-v / 10, "not") > 0 > negated(v / 10, "not") for v in range(1, 11))


POWERS = ("slightly", "", "very", "extremely")


@pytest.mark.parametrize("form", ["{}", "The old one was fine, this is {}!"])
def test_a_stronger_word_before_an_opinion_never_weakens_it(form):
    for kinds in (lexicon.OPINIONS, lexicon.COMPARATIVES):
        for by_value in kinds.values():
            for sign, phrases in ((math.copysign(1, number), phrases) for number, phrases in by_value.items() if number):
                for opinion in (" ".join(each.split()) for each in phrases.split(",") if "~" not in each):
                    strengths = [sign * value(form.format(f"{power} {opinion}".strip())) for power in POWERS]
                    assert strengths == sorted(strengths) and strengths[0] > 0, opinion


def test_intensifiers_order_good_and_mirror_bad():
    steps = [value(f"{power}good") for power in ("a bit ", "", "very ", "extremely ")]
    assert steps == sorted(set(steps))
    assert [value(f"{power}bad") for power in ("a bit ", "", "very ", "extremely ")] == [-step for step in steps]
    assert [strengthened(0.6, power) for power in (1.0, 2.0)] == [pytest.approx(0.6), pytest.approx(1 - 0.4**2)]


@pytest.mark.parametrize("emphatic", ["good!", "good!!", "GOOD stuff", "goooood", "sooo good"])
def test_exclamation_capitals_and_drawn_out_words_strengthen(emphatic):
    assert value(emphatic) > value("good")
    assert value(emphatic.replace("good", "bad").replace("GOOD", "BAD").replace("goooood", "baaaad")) < value("bad")


@pytest.mark.parametrize(("weak", "strong"), [("Maybe good.", "Good."), ("I guess it works.", "It works."), ("kind of good", "good")])
def test_a_hedge_weakens_and_costs_confidence(weak, strong):
    assert 0 < value(weak) < value(strong)
    assert RULES(weak).confidence <= RULES(strong).confidence


@pytest.mark.parametrize(
    ("praise", "blame"),
    [
        ("better than the last one", "worse than the last one"),
        ("The other one is worse.", "The previous answer was better."),
        ("Much clearer than the first version.", "less clear than before"),
        ("The last draft was fine, this is better.", "The last one was better than this."),
        ("less repetitive", "more repetitive"),
        ("as good as the last one", "not as good as the last one"),
        ("an improvement", "I prefer the other response."),
    ],
)
def test_a_comparison_says_which_text_is_better(praise, blame):
    assert value(praise) > 0.05
    assert value(blame) < -0.05


def test_praise_of_another_text_alone_says_nothing():
    assert value("The last answer was good.") is None


@pytest.mark.parametrize(
    "text",
    [
        "It could be shorter.",
        "It should be clearer.",
        "I wish it were shorter",
        "Please be clearer.",
        "needs more detail",
        "too formal",
        "way too wordy",
    ],
)
def test_a_wish_and_an_excess_are_blame(text):
    assert label(text) == "bad"


def test_what_comes_after_but_weighs_more():
    assert value("bad but good") > 0 > value("good but bad")
    assert value("Although bad, it is good.") > 0


# Ratings, emoji, sarcasm.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7/10", 0.4),
        ("7 out of 10", 0.4),
        ("seven out of ten", 0.4),
        ("9.5/10!", 0.9),
        ("5/10", 0.0),
        ("0/10", -1.0),
        ("3 out of 5", 0.0),
        ("1 star", -1.0),
        ("4 stars", 0.5),
        ("4.5/5 stars", 0.75),
        ("five stars", 1.0),
        ("85/100", 0.7),
        ("\u2605\u2605\u2605\u2605\u2606", 0.5),
        ("\uff17\uff0f\uff11\uff10", 0.4),  # full-width digits
        ("+1", 0.8),
        ("\u22121", -0.8),  # a true minus
        ("A+", 1.0),
        ("B-", 0.35),
        ("I'd give it an F.", -1.0),
    ],
)
def test_an_explicit_rating_is_the_value(text, expected):
    assert value(text) == pytest.approx(expected, abs=1e-12)
    assert RULES(text).confidence > RULES("good").confidence


@pytest.mark.parametrize(
    "text",
    [
        "7/10/2024",
        "24/7",
        "1/2 of it",
        "3 out of 5 facts",
        "It was -1 outside.",
        "B",
        "not a 10/10",
        "I wouldn't give it 5 stars",
        "12/10",
        "v1.7/10",
    ],
)
def test_what_only_looks_like_a_rating_is_none(text):
    assert find_ratings(text) == []


@pytest.mark.parametrize(
    "text", ["2/10, perfect, great, excellent!", "Great, just great. 2/10", "2/10 \N{THUMBS UP SIGN}", "muy bien, 2/10"]
)
def test_a_rating_outranks_words_emoji_sarcasm_and_language(text):
    assert value(text) == pytest.approx(-0.6)
    assert 'rating -0.60 ("2/10")' in RULES(text).explanation


def test_of_several_ratings_the_last_counts_and_words_still_fill_the_aspects():
    assert value("The old one 9/10, this 3/10.") == pytest.approx(-0.4)
    assert aspects("7/10, too long")["length"].polarity == -1


@pytest.mark.parametrize(("number", "signs"), EMOJI.items())
def test_every_emoji_has_its_value_in_every_colour_of_skin(number, signs):
    for sign in signs:
        assert value(sign) == pytest.approx(number) == value(f"{sign}\ufe0f")
    assert value("\N{THUMBS UP SIGN}\U0001f3fd") == value("\N{THUMBS UP SIGN}") == 0.8


def test_a_run_of_emoji_is_stronger_than_one_and_bounded():
    one, three, many = (value("\N{THUMBS DOWN SIGN}" * count) for count in (1, 3, 1000))
    assert -1 <= many <= three < one < 0


@pytest.mark.parametrize(
    ("text", "sign"), [(":)", 1), ("ok :-(", -1), ("<3", 1), ("</3", -1), (":/", -1), ("(see: below)", 0), ("http://x.org", 0)]
)
def test_emoticons_count_and_other_signs_do_not(text, sign):
    assert label(text) == {1: "good", -1: "bad", 0: "neutral"}[sign]


@pytest.mark.parametrize(
    "text",
    [
        "Great, just great. It ignored the question.",
        "Thanks for nothing.",
        "Oh great, more lies.",
        "Great, another wrong answer.",
        "Nice job ignoring the question.",
        "I love how it makes up sources.",
        "Brilliant. Completely wrong.",
        "Good work! /s",
        "perfect \N{FACE WITH ROLLING EYES}",
        "Congratulations on missing the point.",
    ],
)
def test_sarcasm_that_shows_is_blame_and_is_named(text):
    assert label(text) == "bad"
    assert "sarcasm" in RULES(text).explanation
    assert RULES(text).confidence < RULES("bad").confidence


@pytest.mark.parametrize(
    "text", ["Great. It answers the question.", "Good grammar. The facts are wrong.", "I love how it explains things.", "Great, it works."]
)
def test_sincere_praise_is_not_called_sarcasm(text):
    assert "sarcasm" not in RULES(text).explanation


@pytest.mark.xfail(reason="needs knowledge of the world: nothing in the words takes the praise back")
@pytest.mark.parametrize(
    "text",
    [
        "Well, those are five minutes I would have loved to keep.",
        "Perfect for anyone who cannot read.",
        "I especially enjoyed the part about somebody else's question.",
        "Very creative, these dates.",
    ],
)
def test_sarcasm_that_needs_knowledge_is_blame(text):
    assert label(text) == "bad"


@pytest.mark.xfail(reason="known failures of the rules: the verb left out, a finding denied by its search, an image")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is right but the explanation is not.", "bad"),
        ("It was hard to find anything bad.", "good"),
        ("It reads as if a robot wrote it.", "bad"),
    ],
)
def test_what_is_left_unsaid_is_understood(text, expected):
    assert label(text) == expected


# What says nothing, and what must not break.


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "\u200b\ufeff",
        "...",
        "???",
        "12345",
        "asdf qwer",
        "What do you mean?",
        "Can you do something good about rain?",
        "I had a great lunch today.",
        "Paris is the capital of France.",
        "https://example.org/good/great/bad",
    ],
)
def test_a_text_that_judges_nothing_is_an_abstention(text):
    encoded = RULES(text)
    assert (encoded.value, encoded.confidence, encoded.aspects) == (None, 0.0, ())
    assert encoded.explanation.startswith("abstained: ")


@pytest.mark.parametrize(
    "text",
    [
        "Das ist leider nicht gut, problem",
        "Je suis très content, super",
        "Es muy bueno, fatal no",
        "Non mi piace, terribile",
        "Het is niet goed, super",
        "\u043f\u043b\u043e\u0445\u043e",
        "\u0623\u062d\u0633\u0646\u062a",
    ],
)
def test_another_language_is_an_abstention(text):
    assert value(text) is None
    assert "not in English" in RULES(text).explanation


def test_an_emoji_counts_in_every_language():
    assert value("sehr gut, danke, ist nicht so schlecht \N{THUMBS UP SIGN}") == 0.8


def test_a_text_without_an_opinion_is_not_a_neutral_opinion():
    assert value("ok") == 0.0 and RULES("ok").confidence > 0
    assert value("It is a text.") is None


@pytest.mark.parametrize(
    "piece",
    [
        "good ",
        "bad. ",
        "clearly ",
        "not ",
        "too ",
        "but ",
        "!",
        "\n",
        "+1\n",
        "\u2605",
        "\N{THUMBS UP SIGN}",
        "\ufdfa",
        "lacks ",
    ],
)
def test_ten_megabytes_are_read_up_to_the_limit_and_that_is_said(piece):
    text = piece * (10_000_000 // len(piece))
    encoded = RULES(text)
    assert f"read only the first 20,000 of {len(text):,} characters" in encoded.explanation
    assert len(encoded.explanation) < 1000
    assert encoded.value == RULES(text[:20_000]).value


def test_nothing_that_a_string_can_hold_raises_or_leaves_the_range():
    draw = random.Random(0)
    known = [
        "not",
        "too",
        "but",
        "good",
        "bad",
        "the last one was",
        "than",
        "could be",
        "if",
        "enough",
        "clearly",
        "lacks",
        "7/10",
        "/s",
        ":(",
        "'",
    ]
    odd = [
        "\ud800",
        "\udfff",
        "\0",
        "\u202e",
        "\x1b[31m",
        "\u200d",
        "\ufe0f",
        "\u00df",
        "\u0130",
        "\u00b2",
        "\u0663",
        "n't",
        "_",
        "\n",
        ",",
        ".",
    ]
    for _ in range(1500):
        text = draw.choice([" ", ""]).join(draw.choice(known + odd) for _ in range(draw.randint(0, 12)))
        encoded = RULES(text)
        assert encoded.value is None or -1 <= encoded.value <= 1, text
        encoded.explanation.encode()  # and it can be written to a file
    for _ in range(1000):
        RULES("".join(chr(draw.randrange(0x110000)) for _ in range(draw.randint(0, 30))))


@pytest.mark.parametrize("wrong", [None, 7, b"good", ["good"]])
def test_what_is_no_string_is_refused(wrong):
    with pytest.raises(TypeError, match="a critique must be a string, got"):
        RULES(wrong)


def test_the_explanation_names_the_words_as_they_were_written():
    encoded = RULES("Honestly, it's NOT very Good and way too long.")
    assert '"NOT very Good"' in encoded.explanation and '"way too long"' in encoded.explanation
    assert aspects("It's not very good.")["overall"].words == ("not very good",)


def test_more_praise_never_lowers_the_value_and_contradiction_costs_confidence():
    assert value("good") < value("good and clear") < value("good and clear and helpful") <= 1
    assert value("bad and long") < value("bad and long, but clear") < value("bad and long, but very clear")
    assert RULES("good, bad").confidence < RULES("good").confidence


def test_critiques_are_read_one_by_one():
    texts = ["good", "", "7/10", "bad"]
    assert RULES.encode_all(texts) == [RULES(text) for text in texts]
    assert RULES.encode_all([]) == []
