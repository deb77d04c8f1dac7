"""Turn text into token ids and back.

Ids are the state; text is made from ids once, when a response ends, and is never turned back into ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from text_env.episode import IntArray

TINYLM_FOLDER = Path(__file__).parent / "assets" / "tinylm"
_SAID = "\N{REFERENCE MARK}said\N{REFERENCE MARK}"  # a response that no template holds itself


class Vocabulary(Protocol):
    """Encode and decode; the part of a tokenizer that differs between libraries."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        ...

    def decode_rows(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return one text per row of ids, without special tokens."""
        ...

    def pieces(self) -> dict[int, str]:
        """Return what each id stands for, as the vocabulary spells it."""
        ...

    def around_text(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before a text, and those that it puts behind it."""
        ...


class ByteVocabulary:
    """Let every byte be a token and 256 the end; for tests and for text in any alphabet without training."""

    END = 256

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes."""
        return list(text.encode())

    def decode_rows(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts; bytes that are not UTF-8 become the replacement character."""
        return [bytes(id for id in row if id != self.END).decode(errors="replace") for row in rows]

    def pieces(self) -> dict[int, str]:
        """Return each byte as a character, those that stand for no character on their own as the replacement character."""
        return {id: bytes([id]).decode(errors="replace") for id in range(self.END)} | {self.END: "<|end|>"}

    def around_text(self) -> tuple[list[int], list[int]]:
        """Return nothing: a text starts with its first byte and ends with its last."""
        return [], []


class FastVocabulary:
    """Use a tokenizer of the tokenizers library (Rust)."""

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            # Such settings would cut and fill prompts silently. The caller's own object keeps them.
            tokenizer = type(tokenizer).from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode_rows(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return one text per row of ids, without special tokens."""
        return list(self.tokenizer.decode_batch(rows, skip_special_tokens=True))

    def pieces(self) -> dict[int, str]:
        """Return what each id stands for, as the vocabulary spells it."""
        return {id: piece for piece, id in self.tokenizer.get_vocab(with_added_tokens=True).items()}

    def around_text(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before a text, and those that it puts behind it."""
        return _around(self.encode("a"), list(self.tokenizer.encode("a").ids))


class SlowVocabulary:
    """Use a tokenizer of the transformers library that has no Rust counterpart."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode_rows(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return one text per row of ids, without special tokens."""
        return [str(self.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)) for row in rows]

    def pieces(self) -> dict[int, str]:
        """Return what each id stands for, as the vocabulary spells it."""
        return {id: piece for piece, id in self.tokenizer.get_vocab().items()}

    def around_text(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before a text, and those that it puts behind it."""
        return _around(self.encode("a"), list(self.tokenizer.encode("a")))


class Tokens:
    """Encode prompts and decode responses, and say how wide the action space is.

    Args:
        vocabulary: encodes and decodes.
        name: what to call it in messages.
        vocab_size: width of the action space; ids from `num_tokens` on, if any, have no token.
        eos_ids: end tokens, at least one.
        template: turns chat messages into one text; None where the tokenizer has no chat template.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        name: str,
        eos_ids: Sequence[int],
        vocab_size: int | None = None,
        template: Callable[[list[dict[str, str]]], str] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.name = name
        self.pieces = vocabulary.pieces()
        self.num_tokens = max(self.pieces) + 1
        self.vocab_size = vocab_size if vocab_size is not None else self.num_tokens
        self.eos_ids = tuple(int(id) for id in eos_ids)
        self._template = template
        if not self.eos_ids:
            raise ValueError(f"tokenizer {name!r} names no end token: give eos_ids=(...)")
        if self.vocab_size < self.num_tokens:
            raise ValueError(f"vocab_size must be at least {self.num_tokens}, the tokens of {name!r}, got {self.vocab_size}")

    @property
    def pad_id(self) -> int:
        """Return the id that fills the unused end of a row; masks, not this id, say what is padding."""
        return self.eos_ids[0]

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of the vocabulary: equal exactly if the same ids stand for the same pieces."""
        digest = hashlib.sha256()
        for id in sorted(self.pieces):  # one by one: the text of all pieces together would take megabytes
            digest.update(f"{id} {self.pieces[id]!r}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Return the ids that the tokenizer puts before a text (a start token, for models trained with one)."""
        return tuple(self.vocabulary.around_text()[0])

    @cached_property
    def closing_ids(self) -> tuple[int, ...]:
        """Return the ids that the tokenizer puts behind a text. Prompts have none: a causal model is to go on; an encoder wants them."""
        return tuple(self.vocabulary.around_text()[1])

    def encode(self, text: str) -> IntArray:
        """Return the ids [n] of a text, without special tokens."""
        return np.asarray(self.vocabulary.encode(text), dtype=np.int64)

    def encode_prompt(self, text: str) -> IntArray:
        """Return the ids [n] of a text that begins a sequence: with the start token, where the tokenizer has one."""
        return np.concatenate([np.asarray(self.start_ids, dtype=np.int64), self.encode(text)])

    def decode(self, ids: Sequence[int] | IntArray) -> str:
        """Return the text of ids, without special tokens."""
        return self.decode_rows([ids])[0]

    def decode_rows(self, rows: Sequence[Sequence[int] | IntArray]) -> list[str]:
        """Return one text per row of ids, without special tokens."""
        return self.vocabulary.decode_rows([row.tolist() if isinstance(row, np.ndarray) else list(row) for row in rows])

    def characters_after(self, ids: Sequence[int] | IntArray) -> IntArray:
        """Return how many characters stand there after each token: [T], never falling.

        A character that a token cuts in the middle counts once it is whole. The cost grows with the square of the length.
        """
        texts = self.decode_rows([ids[:length] for length in range(1, len(ids) + 1)])
        whole = np.array([len(text.rstrip("\N{REPLACEMENT CHARACTER}")) for text in texts], dtype=np.int64)
        return np.maximum.accumulate(whole) if len(whole) else whole

    def chat_prompt(self, text: str, chat_template: bool | str) -> str:
        """Return a text as a user's message, behind a system message where `chat_template` is one; as it is where that is False."""
        if chat_template is False:
            return text
        system = [] if chat_template is True else [{"role": "system", "content": str(chat_template)}]
        return self.chat([*system, {"role": "user", "content": text}])

    def chat_turn(self, message: str, has_ended: bool) -> str:
        """Return what stands between two responses in a chat: the end of the first, a user's message, and how the second begins.

        Args:
            message: the user's.
            has_ended: the first response has an end token already, which is not repeated.

        Errors: ValueError where the template shows no earlier responses, or there is none.
        """
        earlier = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
        _, found, after = self.chat([*earlier, {"role": "user", "content": message}]).partition(_SAID)
        if not found:
            raise ValueError(
                f"the chat template of {self.name!r} leaves out earlier responses, so a dialogue of several turns needs another"
            )
        ends = [piece for id in self.eos_ids if (piece := self.pieces.get(id, "")) and after.startswith(piece)]
        return after[len(ends[0]) :] if has_ended and ends else after

    def chat(self, messages: list[dict[str, str]]) -> str:
        """Return chat messages as the text that the model was trained to continue."""
        if self._template is None:
            raise ValueError(f"tokenizer {self.name!r} has no chat template: pass chat_template=False, or a tokenizer that has one")
        return self._template(messages)

    def __repr__(self) -> str:
        return f"Tokens({self.name!r}, vocab_size={self.vocab_size})"


def load_tokens(source: Any = "tinylm", *, vocab_size: int | None = None, eos_ids: Sequence[int] | None = None) -> Tokens:
    """Load a tokenizer.

    Args:
        source: "tinylm" (bundled), "smollm2", "bytes", a folder, a hub id, or a tokenizer object of transformers or tokenizers.
        vocab_size: width of the action space; by default the model config's for a name, and the number of tokens for an object.
        eos_ids: end tokens; by default those that the model's files name.

    Errors: ValueError for an unknown name, an object that is no tokenizer, or one without an end token.
    """
    if isinstance(source, Tokens):
        return Tokens(
            source.vocabulary,
            source.name,
            source.eos_ids if eos_ids is None else eos_ids,
            source.vocab_size if vocab_size is None else vocab_size,
            source._template,
        )
    if isinstance(source, Path):
        source = str(source)
    if not isinstance(source, str):
        return _from_object(source, vocab_size, eos_ids)
    if source == "bytes":
        return Tokens(ByteVocabulary(), "bytes", (ByteVocabulary.END,) if eos_ids is None else eos_ids, vocab_size)
    if source == "tinylm":
        return _from_folder(TINYLM_FOLDER, "tinylm", vocab_size, eos_ids)
    if source == "smollm2":
        from text_env.smollm2 import HUB_ID, find_smollm2_file, smollm2_folder

        if find_smollm2_file() is None:
            return _from_hub(HUB_ID, vocab_size, eos_ids)
        return _from_folder(smollm2_folder(), "smollm2", vocab_size, eos_ids)
    if (Path(source) / "tokenizer.json").is_file():
        return _from_folder(Path(source), source, vocab_size, eos_ids)
    return _from_hub(source, vocab_size, eos_ids)


def _from_folder(folder: Path, name: str, vocab_size: int | None, eos_ids: Sequence[int] | None) -> Tokens:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = {stem: _read_json(folder / f"{stem}.json") for stem in ("config", "generation_config", "tokenizer_config")}
    if eos_ids is None:
        eos_ids = _end_tokens(tokenizer, settings)
    if vocab_size is None and "vocab_size" in settings["config"]:
        vocab_size = int(settings["config"]["vocab_size"])

    has_template = "chat_template" in settings["tokenizer_config"] or (folder / "chat_template.jinja").is_file()
    return Tokens(FastVocabulary(tokenizer), name, eos_ids, vocab_size, partial(_folder_template, folder) if has_template else None)


def _folder_template(folder: Path, messages: list[dict[str, str]]) -> str:
    return _object_template(_folder_tokenizer(folder), messages)


@cache
def _folder_tokenizer(folder: Path) -> Any:
    """Load a folder's tokenizer once in a process: reading it takes longer than running its template a thousand times."""
    from transformers import AutoTokenizer  # templates are programs; only transformers runs them

    return AutoTokenizer.from_pretrained(folder)


def _object_template(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _end_tokens(tokenizer: Any, settings: dict[str, dict[str, Any]]) -> list[int]:
    """Return the end tokens that the model's files name, the tokenizer's own first."""
    ids: list[int] = []
    piece = settings["tokenizer_config"].get("eos_token")
    piece = piece.get("content") if isinstance(piece, dict) else piece
    if piece is not None and tokenizer.token_to_id(piece) is not None:
        ids.append(tokenizer.token_to_id(piece))
    for stem in ("generation_config", "config"):
        named = settings[stem].get("eos_token_id")
        ids += named if isinstance(named, list) else [] if named is None else [named]
    return list(dict.fromkeys(ids))


def _from_hub(name: str, vocab_size: int | None, eos_ids: Sequence[int] | None) -> Tokens:
    from transformers import AutoConfig, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f'there is no tokenizer {name!r}: give "tinylm", "smollm2", "bytes", a folder with tokenizer.json, '
            f"a hub id that can be reached or is cached, or a tokenizer object ({error})"
        ) from error
    if vocab_size is None:
        config = AutoConfig.from_pretrained(name)
        vocab_size = int(config.get_text_config().vocab_size)
    return _from_object(tokenizer, vocab_size, eos_ids, name)


def _from_object(tokenizer: Any, vocab_size: int | None, eos_ids: Sequence[int] | None, name: str | None = None) -> Tokens:
    if hasattr(tokenizer, "apply_chat_template"):
        if eos_ids is None:
            eos_ids = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        rust = getattr(tokenizer, "backend_tokenizer", None)
        vocabulary: Vocabulary = FastVocabulary(rust) if rust is not None else SlowVocabulary(tokenizer)
        shown = name or str(tokenizer.name_or_path) or type(tokenizer).__name__
        return Tokens(vocabulary, shown, eos_ids, vocab_size, partial(_object_template, tokenizer) if tokenizer.chat_template else None)
    if hasattr(tokenizer, "decode_batch") and hasattr(tokenizer, "token_to_id"):
        return Tokens(FastVocabulary(tokenizer), name or "tokenizers.Tokenizer", () if eos_ids is None else eos_ids, vocab_size)
    raise ValueError(f"a tokenizer must be a name or an object of transformers or tokenizers, got {type(tokenizer).__name__}")


def _around(plain: list[int], with_special: list[int]) -> tuple[list[int], list[int]]:
    """Return what stands before and behind `plain` in `with_special`."""
    for start in range(len(with_special) - len(plain) + 1):
        if with_special[start : start + len(plain)] == plain:
            return with_special[:start], with_special[start + len(plain) :]
    return [], []


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}
