"""Read prompts from lists, files, data sets or a function, and draw them.

A prompt is tokenised once, when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from text_env.episode import IntArray, Prompt
from text_env.kept import HoldsObjects
from text_env.tokens import Tokens

Split = Literal["train", "held_out"]
OnLongPrompt = Literal["error", "truncate_left"]
SPLITS: tuple[Split, ...] = ("train", "held_out")
OPENINGS_FOLDER = Path(__file__).parent / "assets" / "review_openings"
FIELDS = ("prompt", "references", "id", "split")
DRAWN_PROMPT_TOKENS = 64  # budget for prompts of a function, whose longest cannot be known beforehand


class Prompts(HoldsObjects):
    """Hold tokenised prompts and draw them in shuffled passes: every prompt once before any comes again.

    Args:
        source: what to read, see `read_prompts`; a function `f(rng) -> str | dict` gives endless prompts, also as a part of
            {"train": f, "held_out": g}.
        tokens: the tokenizer.
        split: "train" or "held_out".
        held_out_fraction: share of the prompts of an unsplit source that belongs to "held_out", decided by a hash of the text.
        max_prompt_tokens: longest prompt allowed; by default that of the longest.
        on_long_prompt: "error", or "truncate_left" to keep a long prompt's last tokens.
        chat_template: False: the text as it is; True: as a user's message; a string: the same with this system message.

    Errors: ValueError for no prompts, an empty prompt, one that is too long, or an unknown field.
    """

    held = ("_draw_one",)

    def __init__(
        self,
        source: Any,
        tokens: Tokens,
        *,
        split: Split = "train",
        held_out_fraction: float = 0.0,
        max_prompt_tokens: int | None = None,
        on_long_prompt: OnLongPrompt = "error",
        chat_template: bool | str = False,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split must be "train" or "held_out", got {split!r}')
        if on_long_prompt not in ("error", "truncate_left"):
            raise ValueError(f'on_long_prompt must be "error" or "truncate_left", got {on_long_prompt!r}')
        if not 0.0 <= held_out_fraction < 1.0:
            raise ValueError(f"held_out_fraction must be at least 0 and below 1, got {held_out_fraction}")
        if max_prompt_tokens is not None and max_prompt_tokens < 1:
            raise ValueError(f"max_prompt_tokens must be at least 1, got {max_prompt_tokens}")
        if on_long_prompt == "truncate_left" and max_prompt_tokens is None:
            raise ValueError('on_long_prompt="truncate_left" needs max_prompt_tokens: without it no prompt is too long')
        self._tokens = tokens
        self._on_long_prompt = on_long_prompt
        self._chat_template = chat_template
        self._budget = max_prompt_tokens
        self._draw_one = _function_of(source, split, held_out_fraction)
        self._items: list[Prompt] = []
        self._num_drawn = 0
        if self._draw_one is not None:
            self.max_tokens = self._budget = max_prompt_tokens or DRAWN_PROMPT_TOKENS
        else:
            rows = list(read_prompts(source, split, held_out_fraction))
            if not rows:
                raise ValueError(f"there are no prompts in {_describe(source)} for split {split!r}: give at least one")
            self._items = [self._prompt(row, number) for number, row in enumerate(rows)]
            self.max_tokens = max_prompt_tokens or max(len(prompt.ids) for prompt in self._items)
        self._order: IntArray = np.zeros(0, dtype=np.int64)
        self._next = 0

    def __len__(self) -> int:
        """Return the number of prompts, or of those that a function has made since the last restart."""
        return len(self._items) if self._draw_one is None else self._num_drawn

    def restart(self) -> None:
        """Forget the pass in progress; the next draw begins a new one. A function's prompts are numbered from 0 again."""
        self._order, self._next, self._num_drawn = self._order[:0], 0, 0

    def draw(self, rng: np.random.Generator) -> tuple[int, Prompt]:
        """Return the next prompt and its number."""
        if self._draw_one is not None:
            number = self._num_drawn
            self._num_drawn += 1
            return number, self._prompt(self._draw_one(rng), number)
        if self._next == len(self._order):
            self._order, self._next = rng.permutation(len(self._items)), 0
        self._next += 1
        number = int(self._order[self._next - 1])
        return number, self._items[number]

    def _prompt(self, row: Any, number: int) -> Prompt:
        if isinstance(row, Prompt):
            text, references, name, ids = row.text, row.references, row.id, np.array(row.ids, dtype=np.int64)
        else:
            text, references, name = _fields(row, number)
            if not text:
                raise ValueError(f"prompt {number} is empty: a policy needs at least one token to continue")
            ids = self._ids(text)
        if len(ids) == 0:
            raise ValueError(f"prompt {number} has no tokens: {text!r}")
        if int(ids.min()) < 0 or int(ids.max()) >= self._tokens.vocab_size:
            raise ValueError(f"prompt {number} has ids outside 0 to {self._tokens.vocab_size - 1}: {text!r}")
        if self._budget is not None and len(ids) > self._budget:
            if self._on_long_prompt == "error":
                raise ValueError(
                    f"prompt {number} has {len(ids)} tokens, more than max_prompt_tokens={self._budget}: {text[:60]!r}; "
                    'raise max_prompt_tokens, shorten the prompt, or choose on_long_prompt="truncate_left"'
                )
            ids = self._last_tokens(ids, self._budget)
        ids.setflags(write=False)
        return Prompt(text, ids, references, name or str(number))

    def _last_tokens(self, ids: IntArray, budget: int) -> IntArray:
        """Return the end of a long prompt; a start token stays in front, for models do not know texts without it."""
        start = np.asarray(self._tokens.start_ids, dtype=np.int64)
        if not 0 < len(start) < budget or not np.array_equal(ids[: len(start)], start):
            return ids[-budget:].copy()
        return np.concatenate([start, ids[len(start) - budget :]])

    def _ids(self, text: str) -> IntArray:
        if self._chat_template is False:
            return self._tokens.encode_prompt(text)
        return self._tokens.encode(self._tokens.chat_prompt(text, self._chat_template))


def read_prompts(source: Any, split: Split, held_out_fraction: float = 0.0) -> Iterator[Any]:
    """Yield the prompts of one split, as texts, dictionaries or `Prompt`s.

    Args:
        source: None (the bundled openings of reviews), a list of texts, dictionaries or `Prompt`s, a .txt file (one a line) or
            .jsonl file (fields prompt, references, id, split), a folder with train and held_out files of these kinds, a
            dictionary from split to any of these, or a Hugging Face data set with a column "prompt".
        split: which part. A source that is not split in one of these ways is split by `held_out_fraction`.
    """
    if source is None:
        source = OPENINGS_FOLDER
    is_folder = isinstance(source, (str, Path)) and Path(source).is_dir()
    if is_folder or isinstance(source, Mapping):
        if held_out_fraction:
            raise ValueError(f"these prompts are split already: take held_out_fraction={held_out_fraction} away")
        yield from _rows(_part(source, split))
        return
    has_split = False
    for number, row in enumerate(_rows(source)):
        named = row.get("split") if isinstance(row, Mapping) else None
        has_split = has_split or named is not None
        if named is not None and named not in SPLITS:
            raise ValueError(f'split must be "train" or "held_out", got {named!r} in {row!r}')
        if (named or _hashed_split(row, number, held_out_fraction)) == split:
            yield row
    if split == "held_out" and not has_split and held_out_fraction == 0.0:
        raise ValueError(
            'split="held_out" needs prompts that are split: pass held_out_fraction, {"train": ..., "held_out": ...}, '
            'or rows with a field "split"'
        )


def _part(source: Any, split: Split) -> Any:
    """Return one split of prompts that come in splits."""
    if isinstance(source, Mapping):
        if split not in source:
            raise ValueError(f"prompts have no split {split!r}, they have {sorted(source)}")
        return source[split]
    files = [path for ending in ("txt", "jsonl") if (path := Path(source) / f"{split}.{ending}").is_file()]
    if len(files) != 1:
        raise ValueError(f"folder {str(source)!r} must hold one file {split}.txt or {split}.jsonl, it holds {len(files)}")
    return files[0]


def _function_of(source: Any, split: Split, held_out_fraction: float) -> Callable[[np.random.Generator], Any] | None:
    """Return the function that makes the prompts of this split, or None where they are listed."""
    makers = source if isinstance(source, Mapping) else {"train": source}
    if not any(callable(maker) for maker in makers.values()):
        return None
    if split not in makers:
        raise ValueError(
            f'prompts have no split {split!r}: a function makes those of one split, so give one for each, {{"train": f, "held_out": g}}'
        )
    if held_out_fraction:
        raise ValueError(f"prompts that a function makes cannot be split: take held_out_fraction={held_out_fraction} away")
    return makers[split] if callable(makers[split]) else None


def _rows(source: Any) -> Iterable[Any]:
    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    if isinstance(source, Iterable):
        return source
    raise ValueError(f"prompts must be a list, a .txt or .jsonl file, a folder, a data set or a function, got {type(source).__name__}")


def _read_file(path: Path) -> Iterator[Any]:
    if path.suffix not in (".txt", ".jsonl"):
        raise ValueError(f"prompts must come from a .txt or .jsonl file or a folder, got {str(path)!r}; a single prompt goes into a list")
    if not path.is_file():
        raise ValueError(f"there is no file of prompts {str(path)!r}")
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.rstrip("\r\n")
            if not line.strip():
                continue
            if path.suffix == ".txt":
                yield line
                continue
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path} line {number} is not JSON: {error}") from error


def _fields(row: Any, number: int) -> tuple[str, tuple[str, ...], str]:
    if isinstance(row, str):
        return row, (), ""
    if not isinstance(row, Mapping) or not isinstance(row.get("prompt"), str):
        raise ValueError(f'prompt {number} must be a text or a dictionary with a text "prompt", got {row!r}')
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        raise ValueError(f"prompt {number} has unknown fields {unknown}; known are {list(FIELDS)}")
    references = row.get("references") or ()
    references = (references,) if isinstance(references, str) else tuple(str(reference) for reference in references)
    return row["prompt"], references, str(row.get("id", ""))


def _hashed_split(row: Any, number: int, held_out_fraction: float) -> Split:
    text = row.text if isinstance(row, Prompt) else _fields(row, number)[0]
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    return "held_out" if share < held_out_fraction else "train"


def _describe(source: Any) -> str:
    return repr(str(source)) if isinstance(source, (str, Path)) else f"a {type(source).__name__}"
