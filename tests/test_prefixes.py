"""How tokens are appended and responses end."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import text_env
from tests.tiny_sources import DISABLED, END, Length, Vowels, counted_tokens, make, make_vec, response_of, write
from text_env.episode import Ending, Prompt
from text_env.tokens import load_tokens


def test_an_end_token_ends_the_response_and_stays_among_its_ids_but_is_no_text():
    env = make()
    _, reward, terminated, truncated, info = write(env, "hi", end=True)
    assert (terminated, truncated, reward) == (True, False, 3.0)
    assert (info["ending"], info["response"], info["prompt"]) == ("eos", "hi", "ab")
    assert response_of(env).ids.tolist() == [*b"hi", END]
    assert response_of(env).ending is Ending.EOS


@pytest.mark.parametrize("end", [END, ord("\n"), ord(";")])
def test_each_of_several_end_tokens_ends_a_response_and_is_cut_from_its_text(end):
    env = make(eos_ids=[END, ord("\n"), ord(";")])
    env.reset(seed=0)
    env.step(ord("x"))
    _, _, terminated, _, info = env.step(end)
    assert terminated
    assert (info["ending"], info["response"]) == ("eos", "x")
    assert response_of(env).ids.tolist() == [ord("x"), end]


def test_the_budget_ends_a_response_and_no_end_token_is_appended():
    env = make(max_new_tokens=3)
    observation, _, terminated, truncated, info = write(env, "abc")
    assert (terminated, truncated, info["ending"]) == (True, False, "length")
    assert response_of(env).ids.tolist() == list(b"abc")
    assert observation["input_ids"].tolist() == list(b"ababc")


def test_a_response_goes_on_until_the_budget_is_used_up():
    env = make(max_new_tokens=3)
    env.reset(seed=0)
    assert [env.step(ord("a"))[2] for _ in range(3)] == [False, False, True]


def test_an_end_token_as_the_last_of_the_budget_was_chosen_and_not_cut():
    assert write(make(max_new_tokens=3), "ab", end=True)[4]["ending"] == "eos"


def test_a_stop_string_completed_by_the_last_token_of_the_budget_is_a_stop():
    assert write(make(max_new_tokens=3, stop=["bc"]), "abc")[4]["ending"] == "stop"


def test_an_end_token_wins_over_a_stop_string_that_contains_its_text():
    env = make(eos_ids=[ord(";")], stop=["x;"])
    info = write(env, "x;")[4]
    assert (info["ending"], info["response"]) == ("eos", "x")


def test_a_stop_string_that_spans_tokens_cuts_the_text_and_leaves_the_ids_whole():
    env = make(stop=["END"])
    _, _, terminated, truncated, info = write(env, "go END")
    assert (terminated, truncated, info["ending"], info["response"]) == (True, False, "stop", "go ")
    assert response_of(env).ids.tolist() == list(b"go END")


def test_a_stop_string_inside_one_token_cuts_the_text_in_the_middle_of_the_token():
    tokens = load_tokens("tinylm")
    token = next(id for id, piece in tokens.pieces.items() if piece == "Ġcat")
    env = make(tokenizer=tokens, prompts=["My pet is a"], stop=["ca"])
    env.reset(seed=0)
    info = env.step(token)[4]
    assert (info["ending"], info["response"]) == ("stop", " ")
    assert response_of(env).ids.tolist() == [token]


def test_a_stop_string_in_another_alphabet_is_seen_when_its_last_byte_is_written():
    env = make(stop=["é😀"], max_new_tokens=20)
    env.reset(seed=0)
    ends = [env.step(token)[2] for token in "xé😀".encode()]
    assert ends == [False] * 6 + [True]
    assert response_of(env).response == "x"


def test_the_earliest_of_several_stop_strings_cuts_the_text():
    env = make(stop=["cd", "bcd"])
    assert write(env, "abcd")[4]["response"] == "a"


def test_a_stop_string_that_began_in_the_prompt_does_not_end_the_response():
    env = make(prompts=["the EN"], stop=["END"])
    env.reset(seed=0)
    assert not env.step(ord("D"))[2]


def test_a_part_of_a_stop_string_does_not_end_the_response():
    assert not write(make(stop=["END"]), "ENxD")[2]


def test_only_tokens_that_can_complete_a_stop_string_are_decoded():
    tokens, counted = counted_tokens()
    env = make(tokenizer=tokens, stop=["z."], max_new_tokens=30)
    env.reset(seed=0)
    before = counted.num_calls
    for token in b"many letters come and go":
        env.step(token)
    assert counted.num_calls == before
    env.step(ord("."))
    assert counted.num_calls == before + 1


def test_a_character_that_the_budget_cuts_is_shown_as_unreadable_and_its_bytes_are_kept():
    env = make(max_new_tokens=2)
    env.reset(seed=0)
    env.step(ord("a"))
    info = env.step("é".encode()[0])[4]
    assert info["response"] == "a\N{REPLACEMENT CHARACTER}"
    assert response_of(env).ids.tolist() == [ord("a"), 0xC3]


def test_an_end_token_inside_a_prompt_is_text_and_not_padding():
    env = make(prompts=[Prompt("a|b", np.array([ord("a"), END, ord("b"), END]))])
    observation, _ = env.reset(seed=0)
    assert env.unwrapped.tokens.pad_id == END
    assert observation["attention_mask"].sum() == 4
    observation, _, terminated, _, _ = env.step(ord("x"))
    assert not terminated
    assert observation["input_ids"][:5].tolist() == [ord("a"), END, ord("b"), END, ord("x")]
    assert observation["response_mask"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def test_the_end_token_that_the_agent_chose_is_attended_to_though_it_equals_the_padding():
    observation = write(make(), "x", end=True)[0]
    assert observation["attention_mask"].tolist() == [1] * 4 + [0] * 6
    assert observation["response_mask"].tolist() == [0, 0, 1, 1] + [0] * 6


def slow_ending(text_ids, stop, end_ids, budget):
    """Return where a response ends and why, by looking at the whole text after each token."""
    for length in range(1, len(text_ids) + 1):
        written = bytes(id for id in text_ids[:length] if id not in end_ids).decode(errors="replace")
        if text_ids[length - 1] in end_ids:
            return length, "eos", written
        found = [written.find(each) for each in stop if each in written]
        if found:
            return length, "stop", written[: min(found)]
        if length == budget:
            return length, "length", written
    raise AssertionError("the response never ends")


@pytest.mark.parametrize("stop", [[], ["ba"], ["aab", "é", " "]])
def test_rows_end_where_a_slow_reading_of_the_whole_text_says(stop):
    rng = np.random.default_rng(7)
    source = Length()
    alphabet = np.array([*b"ab ", *"é".encode(), END])
    env = make_vec(
        5,
        prompts=["b", "a long prompt", "é"],
        feedback=source,
        stop=stop,
        max_new_tokens=9,
        autoreset_mode=DISABLED,
    )
    observation, _ = env.reset(seed=1)
    written = [[] for _ in range(5)]
    num_compared = 0
    for _ in range(400):
        actions = rng.choice(alphabet, size=5, p=[0.25, 0.25, 0.1, 0.15, 0.15, 0.1])
        for row in range(5):
            written[row].append(int(actions[row]))
        observation, _, terminated, truncated, info = env.step(actions)
        assert not truncated.any()
        for row in range(5):
            episode = env.unwrapped.unfinished(row)
            length = len(episode.prompt.ids)
            assert observation["input_ids"][row, : length + len(written[row])].tolist() == [*episode.prompt.ids, *written[row]]
            assert observation["attention_mask"][row].sum() == length + len(written[row])
            assert observation["response_mask"][row, length:].sum() == observation["response_mask"][row].sum() == len(written[row])
            if terminated[row]:
                expected = slow_ending(written[row], stop, {END}, budget=9)
                assert (len(written[row]), info["ending"][row], info["response"][row]) == expected
                written[row] = []
                num_compared += 1
        if terminated.any():
            env.reset(options={"reset_mask": terminated})
    assert num_compared > 200


def echo(conversations):
    return [episode.response.upper() if len(episode.response) < 4 else None for episode in conversations]


def test_a_partners_turn_is_shown_to_the_agent_and_is_not_its_action():
    env = make(partner=echo, max_new_tokens=20)
    observation, _, terminated, _, info = write(env, "hi", end=True)
    assert not terminated
    assert "response" not in info
    assert observation["input_ids"][:7].tolist() == [*b"ab", *b"hi", END, *b"HI"]
    assert observation["response_mask"][:8].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert observation["attention_mask"].sum() == 7
    for token in [*b"ok", END]:
        _, _, terminated, _, info = env.step(token)
    assert terminated
    assert (info["ending"], info["response"]) == ("eos", "hiHIok")
    episode = response_of(env)
    assert episode.is_action.tolist() == [True] * 3 + [False] * 2 + [True] * 3
    assert episode.ids.tolist() == [*b"hi", END, *b"HI", *b"ok", END]


def test_a_partners_tokens_count_in_the_budget():
    env = make(partner=echo, max_new_tokens=7)
    write(env, "hi", end=True)  # three tokens, and two of the partner's
    assert [env.step(ord("x"))[2] for _ in range(2)] == [False, True]


def test_a_partner_without_room_for_an_answer_leaves_the_agents_ending():
    _, _, terminated, _, info = write(make(partner=echo, max_new_tokens=5), "hi", end=True)
    assert terminated
    assert info["ending"] == "eos"


def test_a_stop_string_counts_only_in_the_agents_own_turn():
    env = make(partner=echo, max_new_tokens=20, stop=["HI", "Io"])
    write(env, "hi", end=True)
    assert not env.step(ord("o"))[2]  # the partner's I and the agent's o
    assert not env.step(ord("H"))[2]
    info = env.step(ord("I"))[4]
    assert info["ending"] == "stop"
    assert info["response"] == "hiHIo"


def test_a_budget_that_runs_out_is_not_answered():
    asked = []
    write(make(partner=lambda conversations: asked.append(conversations) or ["no"], max_new_tokens=2), "hi")
    assert not asked


def test_a_partner_is_asked_once_a_step_about_all_turns_that_ended():
    asked = []

    def partner(conversations):
        asked.append([(episode.index, str(episode.ending), episode.response) for episode in conversations])
        return [None] * len(conversations)

    env = make_vec(3, partner=partner, autoreset_mode=DISABLED, stop=["."])
    env.reset(seed=0)
    env.step(np.array([ord("x"), END, ord(".")]))
    assert asked == [[(1, "eos", ""), (2, "stop", "")]]


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([], "partner must return one reply or None per conversation: asked about 1, got 0"),
        ([5], "partner must return texts or None, got 5"),
    ],
)
def test_a_partner_that_answers_wrongly_is_an_error(replies, message):
    env = make(partner=lambda conversations: replies)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(END)


def test_a_source_that_pays_at_each_step_sums_over_the_agents_and_the_partners_turns():
    env = make(partner=echo, feedback=Vowels(), max_new_tokens=20)
    env.reset(seed=0)
    rewards = [env.step(token)[1] for token in [*b"hi", END, *b"a", END]]
    assert rewards == [0.0, 1.0, 0.0, 1.0, 0.0]
    judgement = env.unwrapped.judgements[0]
    assert judgement.score == 2.0
    assert len(judgement.token_scores) == len(response_of(env).ids) == 7


def test_a_partners_tokens_earn_nothing_though_an_earlier_episode_was_paid_at_their_places():
    env = make(partner=echo, feedback=Vowels(), max_new_tokens=20)
    write(env, "aeiouaeiou", end=True)
    env.reset()
    for token in [*b"xy", END, *b"xy"]:
        env.step(token)
    assert env.step(END)[4]["score"] == 0.0
    assert not env.unwrapped.judgements[0].token_scores.any()


def test_a_minimum_length_holds_in_every_turn_of_a_dialogue():
    env = make(partner=echo, min_new_tokens=2, max_new_tokens=20)
    write(env, "hi", end=True)
    assert not env.unwrapped.action_masks()[END]


@pytest.mark.parametrize("module", ["episode", "kept", "masks", "prefixes", "prompts", "scoring", "task", "tokens", "writing"])
def test_the_rules_know_nothing_of_gymnasium(module):
    tree = ast.parse((Path(text_env.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    assert not [line for line in imports if "gymnasium" in line]


def test_a_row_that_is_used_again_keeps_nothing_of_the_longer_text_before():
    env = make_vec(1, prompts=["a very long prompt", "b"], autoreset_mode=DISABLED)
    observation, info = env.reset(seed=0)
    lengths = set()
    for _ in range(4):
        length = int(observation["attention_mask"].sum())
        lengths.add(length)
        assert observation["input_ids"][0, length:].tolist() == [END] * (env.single_observation_space["input_ids"].shape[0] - length)
        assert observation["response_mask"].sum() == 0
        env.step(np.array([ord("x")]))
        env.step(np.array([END]))
        observation, info = env.reset(options={"reset_mask": np.array([True])})
    assert lengths == {18, 1}
    assert info["episode_index"].tolist() == [4]
