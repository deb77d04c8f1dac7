"""Check which models become which policies, and that what would be written wrongly is refused with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding

from agents import CausalPolicy, EncoderDecoderPolicy, language_policy
from tests.tiny_encoder_decoders import SERVED, tiny_encoder_decoder
from tests.tiny_models import tiny_model
from text_env.tokens import load_tokens


@pytest.mark.slow
def test_the_kind_of_policy_is_read_from_the_configuration_of_a_folder(tmp_path):
    for name, model in (("bart", tiny_encoder_decoder("bart")), ("llama", tiny_model())):
        model.save_pretrained(tmp_path / name)
    tokens = load_tokens("bytes")
    policy = language_policy(str(tmp_path / "bart"), tokens=tokens, device="cpu")
    assert type(policy) is EncoderDecoderPolicy and isinstance(policy.model, BartForConditionalGeneration)
    assert type(language_policy(str(tmp_path / "llama"), tokens=tokens, device="cpu")) is CausalPolicy
    with pytest.raises(ValueError, match=r"BartForConditionalGeneration has an encoder.* EncoderDecoderPolicy"):
        CausalPolicy(str(tmp_path / "bart"), tokens=tokens, device="cpu")


def test_a_model_of_the_other_kind_is_refused():
    with pytest.raises(ValueError, match=r"T5ForConditionalGeneration has an encoder.* EncoderDecoderPolicy"):
        CausalPolicy(tiny_encoder_decoder(), device="cpu")
    with pytest.raises(ValueError, match="LlamaForCausalLM has no encoder: make it a policy by CausalPolicy"):
        EncoderDecoderPolicy(tiny_model(), device="cpu")
    with pytest.raises(ValueError, match="the policy has an encoder and the reference has none"):
        EncoderDecoderPolicy(tiny_encoder_decoder(), device="cpu", reference=tiny_model())


def test_attention_in_windows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"LEDForConditionalGeneration cannot be served .* cut by 'attention_window'"):
        EncoderDecoderPolicy(tiny_encoder_decoder("led", "eager"), device="cpu")


@pytest.mark.parametrize(
    ("prompt", "response", "message"),
    [
        (96, 0, "the prompt of row 0 has 97 tokens, special ones included, and the model reads at most 96: lower max_prompt_tokens"),
        (3, 96, r"the response of row 0 has 97 tokens.* lower max_new_tokens"),
    ],
)
def test_prompts_and_responses_longer_than_the_tables_of_positions_are_errors_that_say_so(prompt, response, message):
    policy = EncoderDecoderPolicy(tiny_encoder_decoder("bart"), device="cpu", closing=(256,), reference=None)

    def step(prompt, response):
        length = prompt + response
        is_response = np.arange(length)[None] >= prompt
        observation = {"input_ids": np.full((1, length), 65), "attention_mask": np.ones((1, length)), "response_mask": is_response}
        policy.act(observation, policy.start(1, seed=0), np.ones(1, dtype=bool), np.ones(1, dtype=bool))

    step(min(prompt, 95), min(response, 95))
    with pytest.raises(ValueError, match=message):
        step(prompt, response)


class Stuck(BartLearnedPositionalEmbedding):
    """Take every token that is stepped for the first one: what a cache does to a model that counts for itself."""

    def forward(self, input_ids, past_key_values_length=0, position_ids=None):
        return super().forward(input_ids, 0, None)


@pytest.mark.parametrize("weights", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
def test_a_model_that_steps_otherwise_than_it_reads_is_refused(weights):
    model = tiny_encoder_decoder("bart", dtype=weights)
    EncoderDecoderPolicy(model, device="cpu", dtype=weights, reference=None)
    model.get_decoder().embed_positions.__class__ = Stuck
    with pytest.raises(ValueError, match=r"BartForConditionalGeneration cannot be served .* differ from those of a full forward pass"):
        EncoderDecoderPolicy(model, device="cpu", dtype=weights, reference=None)


def test_a_model_whose_step_fails_is_refused_with_the_failure():
    model = tiny_encoder_decoder()
    model.get_decoder().register_forward_pre_hook(lambda _, __, named: named.pop("past_key_values") and None, with_kwargs=True)
    with pytest.raises(ValueError, match=r"T5ForConditionalGeneration cannot be served .* a step failed with"):
        EncoderDecoderPolicy(model, device="cpu", reference=None)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", SERVED)
def test_what_can_be_stepped_is_not_refused_in_any_precision(name, seed, weights):
    EncoderDecoderPolicy(tiny_encoder_decoder(name, seed=seed, dtype=weights), device="cpu", dtype=weights, reference=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opening": ()}, "opening must have at least one id"),
        ({"temperature": -1}, "temperature must be 0 .greedy. or positive, got -1"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EncoderDecoderPolicy(tiny_encoder_decoder(), device="cpu", **options)


def test_a_model_that_names_no_start_is_refused_until_it_is_told_one():
    model = tiny_encoder_decoder()
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id = settings.bos_token_id = None
    with pytest.raises(ValueError, match=r"names no decoder_start_token_id: give opening=\(...\)"):
        EncoderDecoderPolicy(model, device="cpu")
    assert tuple(EncoderDecoderPolicy(model, device="cpu", opening=(5,)).opening) == (5,)
