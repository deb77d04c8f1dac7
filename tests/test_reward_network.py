"""Read texts with encoders and decoders of many kinds: neither padding, nor its side, nor the others of a batch may be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
    XLNetConfig,
)

from feedback.learned.reward_network import RewardNetwork, load_trunk
from feedback.learned.reward_tokens import RowMaker, reward_tokenizer
from text_env.episode import Ending, Episode, Prompt
from text_env.tokens import load_tokens

WIDTH = 60
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_NO_IDS = {"vocab_size": WIDTH, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
CONFIGS = {
    "gpt2": lambda: GPT2Config(**_NO_IDS, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "llama": lambda: LlamaConfig(**(_NO_IDS | {"pad_token_id": 0}), **_SIZES, max_position_embeddings=64),  # pad is the end token
    "bert": lambda: BertConfig(vocab_size=WIDTH, **_SIZES, max_position_embeddings=64, pad_token_id=0),
    "roberta": lambda: RobertaConfig(
        vocab_size=WIDTH, **_SIZES, max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2
    ),
    "xlnet": lambda: XLNetConfig(
        vocab_size=WIDTH, d_model=32, n_layer=2, n_head=4, d_inner=48, pad_token_id=5, bos_token_id=1, eos_token_id=2
    ),
}


def random_trunk(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = AutoModel.from_config(CONFIGS[name]())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.15)
    return load_trunk(model)


def some_rows():
    """Return rows in which every id occurs, those that models call pad, start and end among them, also at the end."""
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, WIDTH, size) for size in (1, 5, 17, 40, 9, 64)]
    for row, ids in zip(rows, ([0], [1, 1], [0, 0], [5, 5], [2], [0, 1, 2]), strict=True):
        row[-len(ids) :] = ids
    rows[3][3:6] = 0
    return rows


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("read", ["last", "mean"])
def test_features_depend_on_neither_padding_nor_its_side_nor_the_batch(name, read):
    network, rows = RewardNetwork(random_trunk(name), read), some_rows()
    with torch.no_grad():
        together, left = network(rows), network(rows, side="left")
        alone = torch.cat([network([row]) for row in rows])
        backwards = network(rows[::-1]).flip(0)
    assert float(together.std()) > 0.1
    for other in (left, alone, backwards, torch.from_numpy(network.features(rows))):
        torch.testing.assert_close(other, together, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_state_is_that_of_the_last_token_which_the_plain_model_gives_it(name):
    trunk, rows = random_trunk(name), some_rows()[2:4]
    network = RewardNetwork(trunk)
    for row in rows:
        options = {}
        if name == "roberta":  # by itself it counts ids, and takes a pad id inside a text for padding
            options["position_ids"] = torch.arange(2, len(row) + 2)[None]
        with torch.no_grad():
            states = trunk(input_ids=torch.from_numpy(row)[None], **options).last_hidden_state[0]
        np.testing.assert_allclose(network.features([row])[0], states[-1].numpy(), atol=1e-5)
        np.testing.assert_allclose(RewardNetwork(trunk, "mean").features([row])[0], states.mean(0).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_an_end_token_inside_a_text_does_not_end_what_is_read(name):
    network = RewardNetwork(random_trunk(name))
    one, other = network.features([np.array([7, 0, 8, 0, 9]), np.array([7, 0, 8, 0, 10])])
    assert np.abs(one - other).max() > 0.01


def test_rows_of_one_batch_come_back_in_their_order_however_many_there_are(monkeypatch):
    network = RewardNetwork(random_trunk("gpt2"))
    rows = [np.full(size, 3 + size % 7) for size in np.random.default_rng(1).integers(1, 60, 50)]
    whole = network.features(rows)
    monkeypatch.setattr("feedback.learned.reward_network.TOKENS_AT_ONCE", 70)
    np.testing.assert_allclose(network.features(rows), whole, atol=1e-5)


def test_a_causal_language_model_gives_its_trunk_and_an_encoder_decoder_is_refused():
    config = CONFIGS["llama"]()
    with torch.random.fork_rng(devices=[]):
        whole, pair = (
            AutoModelForCausalLM.from_config(config),
            AutoModel.from_config(T5Config(vocab_size=WIDTH, d_model=16, d_ff=16, num_layers=1)),
        )
    assert load_trunk(whole) is whole.base_model and not whole.base_model.training
    with pytest.raises(ValueError, match="has an encoder and a decoder: give a model that is one of both"):
        load_trunk(pair)


def test_an_unknown_model_or_way_of_reading_is_refused_with_the_ways_out(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded: give 'tinylm'"):
        load_trunk(str(tmp_path))
    with pytest.raises(ValueError, match="read must be one of last, mean, got 'first'"):
        RewardNetwork(random_trunk("gpt2"), "first")


def word_tokenizer(template, **special):
    """Return a tokenizer of a few words, with what a kind of model puts around a text."""
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "a", "b", "c", "d"]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        inner.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", **special)


@pytest.mark.parametrize(
    ("template", "special", "expected"),
    [
        ("[CLS] $A [SEP]", {"sep_token": "[SEP]", "cls_token": "[CLS]"}, [1, 4, 5, 6, 2]),  # BERT's way
        ("$A [SEP] [CLS]", {"sep_token": "[SEP]", "cls_token": "[CLS]"}, [4, 5, 6, 2, 1]),  # XLNet's
        ("", {"eos_token": "[SEP]"}, [4, 5, 6]),  # GPT-2's, without a pad token
    ],
)
def test_rows_are_framed_as_the_tokenizer_frames_a_text(template, special, expected):
    tokens = reward_tokenizer(word_tokenizer(template, **special), 8)
    assert RowMaker.of(tokens, 64).row("a", " b c").tolist() == expected


def test_rows_that_are_too_long_lose_their_beginning_and_keep_their_frame():
    tokens = reward_tokenizer(word_tokenizer("[CLS] $A [SEP]", sep_token="[SEP]"), 8)
    assert RowMaker.of(tokens, 5).row("a a a", " b c d").tolist() == [1, 5, 6, 7, 2]


def test_a_text_without_tokens_is_one_end_token():
    tokens = load_tokens("tinylm")
    assert RowMaker.of(tokens, 5).row("", "").tolist() == [tokens.eos_ids[0]]


def test_ids_are_read_as_they_are_only_where_the_tokenizer_is_the_same_and_all_of_them_were_kept():
    tokens = load_tokens("tinylm")
    ids = tokens.encode(" go")[:0].tolist() + tokens.encode(" g").tolist() + tokens.encode("o").tolist()
    assert ids != tokens.encode(" go").tolist()

    def written(ending, *end):
        all_ids = np.array([*ids, *end])
        return Episode(Prompt("Dogs", tokens.encode("Dogs")), all_ids, np.ones(len(all_ids), dtype=bool), " go", ending)

    episodes = [written(Ending.LENGTH), written(Ending.EOS, tokens.eos_ids[0]), written(Ending.STOP)]
    prompt, encoded = tokens.encode_prompt("Dogs").tolist(), tokens.encode(" go").tolist()
    known = RowMaker.of(tokens, 64, tokens.fingerprint).rows(episodes)
    assert [row.tolist() for row in known] == [prompt + ids, prompt + ids, prompt + encoded]
    for other in ("", load_tokens("bytes").fingerprint):
        assert [row.tolist() for row in RowMaker.of(tokens, 64, other).rows(episodes)] == [prompt + encoded] * 3


def test_a_tokenizer_that_is_larger_than_its_trunk_is_refused():
    with pytest.raises(ValueError, match="has 257 tokens, the trunk knows 60: give the trunk's own"):
        reward_tokenizer("bytes", WIDTH)
