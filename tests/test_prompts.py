"""Where prompts come from, how they are split, drawn and refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

from tests.tiny_sources import DISABLED, END, NEXT_STEP, SAME_STEP, Length, make, make_vec
from text_env.episode import Prompt
from text_env.prompts import Prompts
from text_env.tokens import Tokens, load_tokens

BYTES = load_tokens("bytes")


class Column:
    """Look like a data set of Hugging Face: iterable, sized, one dictionary a row, and no list."""

    def __init__(self, **columns: list) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __iter__(self) -> Iterator[dict]:
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True))


def texts(source, split="train", **options):
    """Return every prompt of a source, in its own order."""
    prompts = Prompts(source, BYTES, split=split, **options)
    rng = np.random.default_rng(0)
    drawn = dict(prompts.draw(rng) for _ in range(len(prompts)))
    return [drawn[number].text for number in range(len(prompts))]


ROWS = [{"prompt": "one"}, {"prompt": "two", "references": ["2", "II"], "id": "second"}, {"prompt": " three "}]


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\n\n three \r\n", encoding="utf-8", newline="")
    (tmp_path / "bom.txt").write_text("one\ntwo\n three ", encoding="utf-8-sig")
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, ROWS)) + "\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.txt").write_text("one\ntwo\n three ", encoding="utf-8")
    (tmp_path / "folder" / "held_out.jsonl").write_text('{"prompt": "four"}', encoding="utf-8")
    return {
        "list": ["one", "two", " three "],
        "tuple": ("one", "two", " three "),
        "rows": ROWS,
        "prompts": [Prompt(text, BYTES.encode(text)) for text in ("one", "two", " three ")],
        "txt": str(tmp_path / "prompts.txt"),
        "path": tmp_path / "prompts.txt",
        "bom": tmp_path / "bom.txt",
        "jsonl": tmp_path / "prompts.jsonl",
        "folder": tmp_path / "folder",
        "mapping": {"train": ["one", "two", " three "], "held_out": ["four"]},
        "mapping of files": {"train": tmp_path / "prompts.jsonl", "held_out": ["four"]},
        "data set": Column(prompt=["one", "two", " three "]),
        "generator": (text for text in ("one", "two", " three ")),
    }


@pytest.mark.parametrize(
    "kind",
    ["list", "tuple", "rows", "prompts", "txt", "path", "bom", "jsonl", "folder", "mapping", "mapping of files", "data set", "generator"],
)
def test_every_kind_of_source_gives_the_same_prompts(sources, kind):
    assert texts(sources[kind]) == ["one", "two", " three "]
    if kind != "generator":
        env = make_vec(3, prompts=sources[kind], autoreset_mode=DISABLED)
        env.reset(seed=0)
        env.step(np.full(3, END))
        assert sorted(episode.prompt.text for episode in env.unwrapped.episodes) == [" three ", "one", "two"]


@pytest.mark.parametrize("kind", ["folder", "mapping", "mapping of files"])
def test_a_source_in_splits_gives_its_held_out_prompts(sources, kind):
    assert texts(sources[kind], split="held_out") == ["four"]


def test_a_data_set_of_hugging_face_is_a_source():
    datasets, arrow = pytest.importorskip("datasets"), pytest.importorskip("pyarrow")
    table = datasets.table.InMemoryTable(arrow.table({"prompt": ["one", "two"]}))
    assert texts(datasets.Dataset(table, fingerprint="any")) == ["one", "two"]


def test_references_and_ids_reach_the_feedback():
    source = Length()
    env = make_vec(3, prompts=ROWS, feedback=source, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.full(3, END))
    (episodes,) = source.calls
    found = {episode.prompt.text: (episode.prompt.references, episode.prompt.id) for episode in episodes}
    assert found == {"one": ((), "0"), "two": (("2", "II"), "second"), " three ": ((), "2")}


def test_one_reference_may_be_given_without_a_list():
    (prompt,) = Prompts([{"prompt": "a", "references": "b"}], BYTES)._items
    assert prompt.references == ("b",)


def test_rows_may_name_their_split():
    rows = [{"prompt": "a", "split": "train"}, {"prompt": "b", "split": "held_out"}, {"prompt": "c"}]
    assert texts(rows) == ["a", "c"]
    assert texts(rows, split="held_out") == ["b"]


def test_a_fraction_splits_by_the_text_alone_so_that_order_and_additions_change_nothing():
    rows = [f"prompt {number}" for number in range(200)]
    train, held_out = texts(rows, held_out_fraction=0.25), texts(rows, split="held_out", held_out_fraction=0.25)
    assert sorted(train + held_out) == sorted(rows)
    assert 30 < len(held_out) < 70
    more = ["another", *reversed(rows)]
    assert set(texts(more, split="held_out", held_out_fraction=0.25)) - {"another"} == set(held_out)


def test_the_bundled_openings_are_split_and_share_nothing():
    train, held_out = texts(None), texts(None, split="held_out")
    assert len(train) > 100
    assert len(held_out) > 50
    assert not set(train) & set(held_out)


def test_a_pass_shows_every_prompt_once_before_any_comes_again():
    prompts = Prompts([str(number) for number in range(7)], BYTES)
    rng = np.random.default_rng(0)
    passes = [[prompts.draw(rng)[0] for _ in range(7)] for _ in range(5)]
    assert all(sorted(each) == list(range(7)) for each in passes)
    assert len(set(map(tuple, passes))) > 1


def test_a_function_makes_prompts_from_the_environments_own_generator():
    def any_number(rng):
        return {"prompt": f"{rng.integers(1000)}", "references": ["x"]}

    first, again, other = [], [], []
    for seed, found in ((1, first), (1, again), (2, other)):
        env = make(prompts=any_number)
        env.reset(seed=seed)
        for _ in range(5):
            env.step(END)
            found.append(env.unwrapped.episodes[0].prompt.text)
            assert env.unwrapped.episodes[0].prompt.references == ("x",)
            _, info = env.reset()
        assert info["prompt_index"] == 5
    assert first == again
    assert first != other


def test_a_function_numbers_its_prompts_from_zero_again_after_seeding():
    env = make(prompts=lambda rng: str(rng.integers(1000)))
    _, first = env.reset(seed=3)
    env.reset()
    _, again = env.reset(seed=3)
    assert first == again
    assert first["prompt_index"] == 0


def test_the_prompts_of_a_function_are_not_kept_for_ever():
    env = make_vec(2, prompts=lambda rng: str(rng.integers(1000)), max_new_tokens=1)
    env.reset(seed=0)
    for _ in range(100):
        env.step(np.array([1, 1]))
    assert not env.unwrapped.writing.prefixes.prompts._items


def test_there_may_be_a_function_for_each_split():
    source = {"train": lambda rng: "a train prompt", "held_out": lambda rng: "a held-out prompt"}
    env = make(prompts=source, split="held_out")
    env.reset(seed=0)
    assert env.unwrapped.unfinished().prompt.text == "a held-out prompt"


def test_the_width_is_that_of_the_longest_prompt_and_the_budget():
    assert make(prompts=["a", "abcde"], max_new_tokens=4).observation_space["input_ids"].shape == (9,)
    assert make(prompts=["a", "abcde"], max_new_tokens=4, max_prompt_tokens=20).observation_space["input_ids"].shape == (24,)
    assert make(prompts=lambda rng: "a", max_new_tokens=4).observation_space["input_ids"].shape == (68,)


def test_a_prompt_that_is_too_long_is_refused_by_number_and_length():
    with pytest.raises(ValueError, match=r"prompt 1 has 9 tokens, more than max_prompt_tokens=5: 'very long'; raise max_prompt_tokens"):
        make(prompts=["short", "very long"], max_prompt_tokens=5)


def test_a_prompt_that_a_function_makes_too_long_is_refused_when_it_is_drawn():
    env = make(prompts=lambda rng: "x" * 9, max_prompt_tokens=5)
    with pytest.raises(ValueError, match="prompt 0 has 9 tokens, more than max_prompt_tokens=5"):
        env.reset(seed=0)


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_after_a_prompt_that_cannot_be_drawn_every_row_must_begin_again(mode):
    lengths = iter([1, 1, 9, 1, 1])
    env = make_vec(2, prompts=lambda rng: "x" * next(lengths), max_prompt_tokens=5, autoreset_mode=mode)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="prompt 2 has 9 tokens"):
        for _ in range(2):
            env.step(np.array([END, 97]))
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([97, 97]))
    env.reset()
    assert env.step(np.array([97, 97]))[0]["response_mask"].sum(axis=1).tolist() == [1, 1]


def test_a_long_prompt_may_be_cut_on_the_left_and_keeps_its_text():
    env = make(prompts=["very long"], max_prompt_tokens=4, on_long_prompt="truncate_left")
    observation, _ = env.reset(seed=0)
    assert bytes(observation["input_ids"][:4].tolist()) == b"long"
    assert env.unwrapped.unfinished().prompt.text == "very long"


class WithStart(type(BYTES.vocabulary)):
    """Put the byte 2 before every text."""

    def around_text(self):
        return [2], []


STARTING = Tokens(WithStart(), "starting", (END,))


def test_a_start_token_stands_before_each_prompt():
    observation, _ = make(tokenizer=STARTING, prompts=["ab"]).reset(seed=0)
    assert observation["input_ids"][:3].tolist() == [2, *b"ab"]


def test_a_start_token_stays_in_front_of_a_prompt_that_is_cut():
    env = make(tokenizer=STARTING, prompts=["very long"], max_prompt_tokens=4, on_long_prompt="truncate_left")
    observation, _ = env.reset(seed=0)
    assert observation["input_ids"][:4].tolist() == [2, *b"ong"]


def test_the_ids_of_a_prompt_are_taken_as_they_are_and_the_callers_array_stays_writable():
    ids = np.array([1, 2, 3])
    env = make(tokenizer=STARTING, prompts=[Prompt("text", ids, id="mine")])
    observation, _ = env.reset(seed=0)
    assert observation["input_ids"][:3].tolist() == [1, 2, 3]
    ids[0] = 9
    assert env.reset()[0]["input_ids"][0] == 1
    assert env.unwrapped.unfinished().prompt.id == "mine"
    with pytest.raises(ValueError, match="read-only"):
        env.unwrapped.unfinished().prompt.ids[0] = 5


def shout(messages):
    return "".join(f"<{message['role']}>{message['content']}" for message in messages) + "<assistant>"


TEMPLATED = Tokens(BYTES.vocabulary, "templated", (END,), template=shout)


@pytest.mark.parametrize(
    ("chat_template", "expected"),
    [(False, "hi"), (True, "<user>hi<assistant>"), ("Be brief.", "<system>Be brief.<user>hi<assistant>")],
)
def test_a_chat_template_is_used_only_where_it_is_asked_for(chat_template, expected):
    env = make(tokenizer=TEMPLATED, prompts=["hi"], chat_template=chat_template)
    observation, _ = env.reset(seed=0)
    assert bytes(observation["input_ids"][: len(expected)].tolist()).decode() == expected
    assert env.unwrapped.unfinished().prompt.text == "hi"


def test_prompts_are_tokenised_once_when_they_are_read():
    class Counting(type(BYTES.vocabulary)):
        num_encoded = 0

        def encode(self, text):
            Counting.num_encoded += 1
            return super().encode(text)

    env = make(tokenizer=Tokens(Counting(), "counting", (END,)), prompts=["a", "b"])
    before = Counting.num_encoded
    for _ in range(6):
        env.reset(seed=0)
        env.step(END)
    assert Counting.num_encoded == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": []}, "there are no prompts in a list for split 'train': give at least one"),
        ({"prompts": ["a", ""]}, "prompt 1 is empty: a policy needs at least one token to continue"),
        ({"prompts": [1]}, 'prompt 0 must be a text or a dictionary with a text "prompt", got 1'),
        ({"prompts": ["a", {"text": "b"}]}, 'prompt 1 must be a text or a dictionary with a text "prompt"'),
        ({"prompts": [{"prompt": 3}]}, 'prompt 0 must be a text or a dictionary with a text "prompt"'),
        ({"prompts": [{"prompt": "a", "answer": "b"}]}, r"prompt 0 has unknown fields \['answer'\]; known are"),
        ({"prompts": [{"prompt": "a", "split": "test"}]}, 'split must be "train" or "held_out", got \'test\''),
        ({"prompts": [Prompt("a", np.array([1, 300]))]}, "prompt 0 has ids outside 0 to 256: 'a'"),
        ({"prompts": [Prompt("a", np.array([], dtype=np.int64))]}, "prompt 0 has no tokens: 'a'"),
        (
            {"prompts": "My pet is"},
            "prompts must come from a .txt or .jsonl file or a folder, got 'My pet is'; a single prompt goes into a list",
        ),
        ({"prompts": "missing.txt"}, "there is no file of prompts 'missing.txt'"),
        ({"prompts": 5}, "prompts must be a list, a .txt or .jsonl file, a folder, a data set or a function, got int"),
        ({"prompts": {"train": ["a"]}, "split": "held_out"}, r"prompts have no split 'held_out', they have \['train'\]"),
        ({"split": "test"}, 'split must be "train" or "held_out", got \'test\''),
        ({"split": "held_out"}, 'split="held_out" needs prompts that are split: pass held_out_fraction'),
        ({"prompts": lambda rng: "a", "split": "held_out"}, "prompts have no split 'held_out': a function makes those of one split"),
        ({"prompts": lambda rng: "a", "held_out_fraction": 0.5}, "prompts that a function makes cannot be split"),
        ({"prompts": {"train": ["a"]}, "held_out_fraction": 0.5}, "these prompts are split already: take held_out_fraction=0.5 away"),
        ({"prompts": None, "held_out_fraction": 0.5}, "these prompts are split already"),
        ({"held_out_fraction": 1.0}, "held_out_fraction must be at least 0 and below 1, got 1.0"),
        ({"max_prompt_tokens": 0}, "max_prompt_tokens must be at least 1, got 0"),
        ({"on_long_prompt": "cut"}, 'on_long_prompt must be "error" or "truncate_left", got \'cut\''),
        ({"on_long_prompt": "truncate_left"}, 'on_long_prompt="truncate_left" needs max_prompt_tokens'),
        ({"chat_template": True}, "tokenizer 'bytes' has no chat template: pass chat_template=False, or a tokenizer that has one"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_line_that_is_not_json_is_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a"}\nnot json\n')
    with pytest.raises(ValueError, match=r"bad.jsonl line 2 is not JSON"):
        make(prompts=tmp_path / "bad.jsonl")


def test_a_folder_without_the_split_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold one file train.txt or train.jsonl, it holds 0"):
        make(prompts=tmp_path)


def test_reading_prompts_changes_nothing_of_what_was_passed():
    rows = copy.deepcopy(ROWS)
    make(prompts=rows).reset(seed=0)
    assert rows == ROWS
