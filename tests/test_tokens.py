"""Tokenizers: names, folders, objects, widths, end tokens."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.tiny_sources import END, make, write
from text_env.tokens import TINYLM_FOLDER, ByteVocabulary, Tokens, load_tokens


def test_bytes_are_their_own_tokens_and_256_ends():
    tokens = load_tokens("bytes")
    assert (tokens.vocab_size, tokens.num_tokens, tokens.eos_ids, tokens.pad_id, tokens.name) == (257, 257, (END,), END, "bytes")
    assert tokens.encode("hé").tolist() == [104, 0xC3, 0xA9]
    assert tokens.encode("hé").dtype == np.int64
    assert tokens.decode([104, 0xC3, 0xA9, END]) == "hé"


def test_the_bundled_tokenizer_reads_back_what_it_wrote_and_drops_its_end_token():
    tokens = load_tokens("tinylm")
    assert tokens.eos_ids == (tokens.pad_id,) == (0,)
    for text in ("The soup was cold, and I loved it!", " naïve café 😀", "one\ntwo", "  spaces  "):
        assert tokens.decode([*tokens.encode(text), 0]) == text
    assert load_tokens().name == "tinylm"


def test_many_rows_are_decoded_like_each_alone():
    tokens = load_tokens("tinylm")
    rows = [tokens.encode(text) for text in ("one", " two three", "", "four")]
    assert tokens.decode_rows(rows) == [tokens.decode(row) for row in rows] == ["one", " two three", "", "four"]
    assert tokens.decode_rows([row.tolist() for row in rows]) == tokens.decode_rows(rows)


def test_the_fingerprint_is_equal_exactly_where_the_ids_mean_the_same():
    tinylm = load_tokens("tinylm")
    assert tinylm.fingerprint == load_tokens(str(TINYLM_FOLDER)).fingerprint == load_tokens(TINYLM_FOLDER, vocab_size=5000).fingerprint
    assert tinylm.fingerprint != load_tokens("bytes").fingerprint

    class Swapped(ByteVocabulary):
        def pieces(self):
            pieces = super().pieces()
            return {**pieces, 97: pieces[98], 98: pieces[97]}

    assert Tokens(Swapped(), "swapped", (END,)).fingerprint != load_tokens("bytes").fingerprint


@pytest.fixture
def folder(tmp_path):
    shutil.copy(TINYLM_FOLDER / "tokenizer.json", tmp_path / "tokenizer.json")
    return tmp_path


def save(folder, name, **settings):
    (folder / f"{name}.json").write_text(json.dumps(settings))


def test_the_width_of_a_models_folder_is_that_of_its_config(folder):
    save(folder, "config", vocab_size=4096, eos_token_id=0)
    tokens = load_tokens(folder)
    assert tokens.vocab_size == 4096
    assert tokens.num_tokens < 4096
    assert load_tokens(folder, vocab_size=3000).vocab_size == 3000


def test_a_model_with_several_end_tokens_ends_with_each(folder):
    save(folder, "config", vocab_size=4096, eos_token_id=5)
    save(folder, "generation_config", eos_token_id=[0, 7])
    save(folder, "tokenizer_config", eos_token={"content": "<|endoftext|>"})
    assert load_tokens(folder).eos_ids == (0, 7, 5)
    assert load_tokens(folder, eos_ids=[3]).eos_ids == (3,)


def test_a_folder_that_names_no_end_token_is_refused(folder):
    with pytest.raises(ValueError, match=r"names no end token: give eos_ids=\(...\)"):
        load_tokens(folder)


def test_a_width_below_the_number_of_tokens_is_refused(folder):
    save(folder, "config", vocab_size=50, eos_token_id=0)
    with pytest.raises(ValueError, match=r"vocab_size must be at least \d+, the tokens of .*, got 50"):
        load_tokens(folder)


def test_a_tokenizers_object_needs_end_tokens_and_has_the_width_of_its_tokens(folder):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    with pytest.raises(ValueError, match="names no end token"):
        load_tokens(tokenizer)
    tokens = load_tokens(tokenizer, eos_ids=[0])
    assert tokens.vocab_size == tokens.num_tokens == tokenizer.get_vocab_size()
    assert tokens.fingerprint == load_tokens("tinylm").fingerprint


def test_settings_of_a_tokenizer_that_would_cut_or_fill_texts_are_not_used_and_not_changed(folder):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokens = load_tokens(tokenizer, eos_ids=[0])
    assert tokens.decode(tokens.encode("a prompt of many words")) == "a prompt of many words"
    assert (tokenizer.truncation["max_length"], tokenizer.padding["length"]) == (2, 9)


def fast(tokenizer_object=None, **settings):
    transformers = pytest.importorskip("transformers")
    rust = tokenizer_object or load_tokens("tinylm").vocabulary.tokenizer
    return transformers.PreTrainedTokenizerFast(tokenizer_object=rust, **settings)


def test_a_fast_tokenizer_of_transformers_serves_the_environment():
    tokenizer = fast(eos_token="<|endoftext|>")
    tokens = load_tokens(tokenizer)
    assert tokens.eos_ids == (0,)
    assert tokens.vocab_size == len(tokenizer)
    env = make(tokenizer=tokenizer, prompts=["My pet is"])
    env.reset(seed=0)
    for token in tokens.encode(" a cat"):
        env.step(token)
    assert env.step(0)[4]["response"] == " a cat"


def test_a_tokenizer_of_transformers_without_an_end_token_is_refused():
    with pytest.raises(ValueError, match="names no end token"):
        load_tokens(fast())


def test_tokens_that_were_added_widen_the_action_space():
    tokenizer = fast(eos_token="<|endoftext|>")
    before = load_tokens(tokenizer).vocab_size
    tokenizer.add_tokens(["<smile>"])
    tokens = load_tokens(tokenizer)
    assert tokens.vocab_size == before + 1 == len(tokenizer)
    assert tokens.decode(tokens.encode("a<smile>b")) == "a<smile>b"


def test_a_slow_tokenizer_of_transformers_gives_the_same_texts():
    class Slow:
        """Look like a tokenizer of transformers without a Rust counterpart."""

        name_or_path, eos_token_id, chat_template = "slow", END, None
        bytes = ByteVocabulary()

        def apply_chat_template(self, messages, **_):
            raise AssertionError("no template was asked for")

        def encode(self, text, add_special_tokens=True):
            return [1] * add_special_tokens + self.bytes.encode(text)

        def decode(self, row, skip_special_tokens, clean_up_tokenization_spaces):
            assert skip_special_tokens
            assert not clean_up_tokenization_spaces
            return self.bytes.decode_rows([row])[0]

        def get_vocab(self):
            return {str(id): id for id in range(257)}

    tokens = load_tokens(Slow())
    assert tokens.start_ids == (1,)
    env = make(tokenizer=Slow(), prompts=["ab"])
    observation, _ = env.reset(seed=0)
    assert observation["input_ids"][:3].tolist() == [1, *b"ab"]
    assert write(env, "hé", end=True)[4]["response"] == "hé"


def test_a_start_token_is_found_and_put_before_prompts_only():
    tokenizers = pytest.importorskip("tokenizers")
    rust = tokenizers.Tokenizer.from_str(load_tokens("tinylm").vocabulary.tokenizer.to_str())
    rust.add_special_tokens(["<s>"])
    rust.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", rust.token_to_id("<s>"))])
    tokens = load_tokens(rust, eos_ids=[0])
    assert tokens.start_ids == (rust.token_to_id("<s>"),)
    assert tokens.encode_prompt("a cat").tolist() == [rust.token_to_id("<s>"), *tokens.encode("a cat")]
    assert load_tokens("tinylm").start_ids == ()


def test_a_chat_template_makes_the_text_that_the_model_knows():
    tokenizer = fast(eos_token="<|endoftext|>")
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    env = make(tokenizer=tokenizer, prompts=["hi"], chat_template=True)
    observation, _ = env.reset(seed=0)
    ids = observation["input_ids"][observation["attention_mask"] == 1]
    assert load_tokens(tokenizer).decode(ids) == "[user]hi[assistant]"


def test_a_tokenizer_without_a_chat_template_refuses_to_make_one_up():
    with pytest.raises(ValueError, match="tokenizer 'bytes' has no chat template"):
        load_tokens("bytes").chat([{"role": "user", "content": "hi"}])


def test_smollm2_is_its_hub_id_where_its_wheel_is_not_installed(monkeypatch):
    asked = []
    monkeypatch.setattr("text_env.smollm2.find_smollm2_file", lambda: None)
    monkeypatch.setattr("text_env.tokens._from_hub", lambda name, *_: asked.append(name))
    load_tokens("smollm2")
    assert asked == ["HuggingFaceTB/SmolLM2-135M-Instruct"]


@pytest.mark.parametrize("source", ["no-such-tokenizer", "no/such-tokenizer"])
def test_an_unknown_name_is_refused_with_what_may_be_given(source):
    with pytest.raises(
        ValueError, match=f'there is no tokenizer \'{source}\': give "tinylm", "smollm2", "bytes", a folder with tokenizer.json'
    ):
        make(tokenizer=source)


@pytest.mark.parametrize("source", [5, None, ["a"], object()])
def test_an_object_that_is_no_tokenizer_is_refused(source):
    with pytest.raises(ValueError, match="a tokenizer must be a name or an object of transformers or tokenizers, got"):
        make(tokenizer=source)


def test_tokens_may_be_given_another_width_and_other_ends():
    tokens = load_tokens(load_tokens("bytes"), vocab_size=300, eos_ids=[10])
    assert (tokens.vocab_size, tokens.eos_ids) == (300, (10,))
    assert (load_tokens(tokens).vocab_size, load_tokens(tokens).eos_ids) == (300, (10,))
    with pytest.raises(ValueError, match="names no end token"):
        load_tokens(load_tokens("bytes"), eos_ids=[])
