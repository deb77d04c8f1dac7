"""Random classifiers of texts, of many architectures and each with a tokenizer of its kind, small enough to read in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLNetConfig,
)

CONTROL = ("<s>", "<pad>", "</s>", "<unk>", "<cls>", "<sep>")
WORDS = ("the", "film", "was", "good", "bad", "dull", "great", "cat", "dog", "a", "of", "is", "user", "assistant")
PIECES = (*CONTROL, *WORDS, *"<>/s.!?")
WIDTH = len(PIECES)
LONGEST = 48
LABELS = ("negative", "neutral", "positive")

_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_IDS: dict[str, Any] = {"vocab_size": WIDTH, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_BART_SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}
_BART = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in _BART_SIZES.items()}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**_IDS, **_SIZES, max_position_embeddings=LONGEST),
    "roberta": lambda: RobertaConfig(**_IDS, **_SIZES, max_position_embeddings=LONGEST + 2),  # its positions begin behind the pad id
    "distilbert": lambda: DistilBertConfig(**_IDS, dim=32, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=LONGEST),
    "xlnet": lambda: XLNetConfig(**_IDS, d_model=32, n_layer=2, n_head=4, d_inner=48),
    "gpt2": lambda: GPT2Config(**(_IDS | {"pad_token_id": None}), n_embd=32, n_layer=2, n_head=4, n_positions=LONGEST),
    "llama": lambda: LlamaConfig(**(_IDS | {"pad_token_id": 2}), **_SIZES, max_position_embeddings=LONGEST),  # pad is the end token
    "bart": lambda: BartConfig(**_IDS, **_BART, d_model=32, max_position_embeddings=LONGEST, decoder_start_token_id=2),
}
_TEMPLATES = {
    "bert": ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
    "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "xlnet": ("$A <sep> <cls>:2", "$A <sep> $B:1 <sep>:1 <cls>:2"),
}
_TEMPLATES |= {"distilbert": _TEMPLATES["roberta"], "bart": _TEMPLATES["roberta"]}
CHAT = "{% for turn in messages %}<s>{{ turn.role }} {{ turn.content }}</s>{% endfor %}"
CHAT_TEMPLATE = CHAT + " ."  # with something behind the last turn, as many have


def tiny_tokenizer(name: str, chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words that puts around a text what the architecture's own does."""
    rust = Tokenizer(models.WordLevel({piece: id for id, piece in enumerate(PIECES)}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")])
    if name in _TEMPLATES:
        single, pair = _TEMPLATES[name]
        around = [(piece, id) for id, piece in enumerate(CONTROL)]
        rust.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=around)
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "cls_token": "<cls>", "sep_token": "<sep>"}
    if name != "gpt2":  # which comes without
        named["pad_token"] = "<pad>"
    reads_types = ["token_type_ids"] * (name in ("bert", "xlnet"))
    found = PreTrainedTokenizerFast(tokenizer_object=rust, **named, model_input_names=["input_ids", *reads_types, "attention_mask"])
    if name == "xlnet":
        found.padding_side, found._pad_token_type_id = "left", 3
    found.chat_template = chat_template
    return found


def tiny_text_classifier(name: str, labels: tuple[str, ...] = LABELS, **changes: Any) -> PreTrainedModel:
    """Return a classifier with random weights, large enough that its outputs depend on all that it reads."""
    config = CONFIGS[name]()
    config.id2label, config.label2id = dict(enumerate(labels)), {label: id for id, label in enumerate(labels)}
    for field, value in changes.items():
        setattr(config, field, value)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.15)
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model
