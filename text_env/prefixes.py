"""Hold the rows of text being written, and the rules by which tokens are appended and responses end.

No Gymnasium, no scores: ids, counters and masks, for all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from text_env.constraint import Constraint
from text_env.episode import Ending, Episode, IntArray, Prompt
from text_env.kept import HoldsObjects
from text_env.masks import BoolArray, Masks
from text_env.prompts import Prompts
from text_env.tokens import Tokens

Partner = Callable[[Sequence[Episode]], Sequence[str | None]]
"""Answers in a dialogue: given conversations (`turns` says what was said, `ending` how the agent's turn ended), what the partner says next
in each, or None to end it there."""

AsTurn = Callable[[str, bool], str]
"""Says what the model reads of a partner's words; the second argument is True where the turn before ended with an end token."""

NO_PROMPT = Prompt("", np.zeros(0, dtype=np.int64))  # of a row that has not begun an episode
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
WRITING, BY_EOS, BY_STOP, BY_LENGTH = range(4)
ENDINGS: tuple[Ending | None, ...] = (None, Ending.EOS, Ending.STOP, Ending.LENGTH)


class Prefixes(HoldsObjects):
    """Keep N rows of prompt and response so far.

    Args:
        num_rows: N.
        tokens: the tokenizer.
        prompts: where prompts come from; the longest sets the width together with the budget.
        masks: which tokens may come next.
        max_new_tokens: budget of tokens after the prompt, a partner's included.
        stop: texts that end a response; they are cut from the decoded text.
        group_size: episodes that share a prompt: episode number e uses draw e // group_size.
        partner: writes the turns of a dialogue between the agent's; None = the agent's first end token or stop ends the episode.
        as_turn: writes a partner's words as the model is to read them; None = as they are.
    """

    held = ("partner",)

    def __init__(
        self,
        num_rows: int,
        tokens: Tokens,
        prompts: Prompts,
        masks: Masks | Constraint,
        *,
        max_new_tokens: int,
        stop: Sequence[str] = (),
        group_size: int = 1,
        partner: Partner | None = None,
        as_turn: AsTurn | None = None,
    ) -> None:
        self.num_rows = num_rows
        self.tokens = tokens
        self.prompts = prompts
        self.masks = masks
        self.max_new_tokens = max_new_tokens
        self.stop = tuple(stop)
        self.group_size = group_size
        self.partner = partner
        self._as_turn: AsTurn = as_turn or _as_it_is
        self.width = prompts.max_tokens + max_new_tokens
        self.ids: IntArray = np.full((num_rows, self.width), tokens.pad_id, dtype=np.int64)
        self.attention_mask = np.zeros((num_rows, self.width), dtype=np.int8)
        self.response_mask = np.zeros((num_rows, self.width), dtype=np.int8)
        self.length: IntArray = np.zeros(num_rows, dtype=np.int64)
        self.prompt_length: IntArray = np.zeros(num_rows, dtype=np.int64)
        self.prompt_index: IntArray = np.zeros(num_rows, dtype=np.int64)
        self.episode_index: IntArray = np.zeros(num_rows, dtype=np.int64)
        self.num_actions: IntArray = np.zeros(num_rows, dtype=np.int64)
        self.ended_by = np.full(num_rows, WRITING, dtype=np.int8)
        self._limit: IntArray = np.zeros(num_rows, dtype=np.int64)  # length at which the budget is used up
        self._turn: IntArray = np.zeros(num_rows, dtype=np.int64)  # length at which the agent's turn began
        self._mask_state: IntArray = masks.start(num_rows)
        self._writing: IntArray = np.zeros(0, dtype=np.int64)
        self._num_started = 0
        self._group_number, self._group_prompt = 0, NO_PROMPT
        self._row_prompts = [NO_PROMPT] * num_rows
        self._said: list[tuple[str, ...]] = [()] * num_rows  # the turns before the agent's present one
        self._is_end = np.zeros(tokens.vocab_size, dtype=np.bool_)
        self._is_end[list(tokens.eos_ids)] = True
        self._may_stop = _may_complete(self.stop, tokens)

    @property
    def writing(self) -> IntArray:
        """Return the rows [n], ascending, whose episodes go on."""
        return self._writing

    def restart(self) -> None:
        """Abandon every row and begin numbering from 0, as after seeding."""
        self._num_started = 0
        self.prompts.restart()
        self.park(np.arange(self.num_rows))

    def park(self, rows: IntArray) -> None:
        """Take rows out of writing; what they hold stays readable."""
        self._writing = np.setdiff1d(self._writing, rows, assume_unique=True)

    def start(self, rows: IntArray, rng: np.random.Generator) -> None:
        """Begin an episode in each of these rows, in this order, with the next prompts."""
        numbers = np.zeros(len(rows), dtype=np.int64)
        prompts = []
        for place, row in enumerate(rows.tolist()):  # one pass per episode, not per step
            numbers[place], prompt = self._next_prompt(rng)
            self._row_prompts[row] = prompt
            self._said[row] = ()
            prompts.append(prompt.ids)
        lengths = np.asarray([len(ids) for ids in prompts], dtype=np.int64)
        is_prompt = np.arange(self.width) < lengths[:, None]
        texts = np.full(is_prompt.shape, self.tokens.pad_id, dtype=np.int64)
        texts[is_prompt] = np.concatenate(prompts)
        self.ids[rows] = texts
        self.attention_mask[rows] = is_prompt
        self.prompt_index[rows] = numbers
        self.prompt_length[rows] = lengths
        self.episode_index[rows] = self._num_started - len(rows) + np.arange(len(rows))
        self.response_mask[rows] = 0
        self.length[rows] = self._turn[rows] = self.prompt_length[rows]
        self._limit[rows] = self.prompt_length[rows] + self.max_new_tokens
        self.num_actions[rows] = 0
        self.ended_by[rows] = WRITING
        self._mask_state[rows] = self.masks.start(len(rows))
        self._writing = np.union1d(self._writing, rows)

    def chosen(self, actions: IntArray) -> IntArray:
        """Return the tokens [n] of the rows that write, out of one action [N] int64 per row; the others are ignored.

        Errors: ValueError for a token outside the vocabulary or masked; nothing is changed then.
        """
        rows = self._writing
        chosen = actions if len(rows) == self.num_rows else actions[rows]
        self._check(rows, chosen)
        return chosen

    def append(self, chosen: IntArray) -> IntArray:
        """Append one token, as `chosen` returned them, to every row that writes; return the rows [k] that ended with it."""
        rows = self._writing
        at = self.length[rows]
        self.ids[rows, at] = chosen
        self.attention_mask[rows, at] = 1
        self.response_mask[rows, at] = 1
        at += 1
        self.length[rows] = at
        self.num_actions[rows] += 1
        if self.masks.restricts:
            self._mask_state[rows] = self.masks.advance(self._mask_state[rows], chosen)
        by_eos = self._is_end[chosen]
        ended = by_eos | (at == self._limit[rows])
        if self._may_stop is not None:
            by_stop = self._stopped(rows, self._may_stop[chosen] & ~by_eos)
            ended |= by_stop
        if not ended.any():
            return rows[:0]
        self.ended_by[rows[ended]] = BY_LENGTH
        if self._may_stop is not None:
            self.ended_by[rows[by_stop]] = BY_STOP
        self.ended_by[rows[by_eos]] = BY_EOS
        ended_rows = rows[ended]
        if self.partner is not None:
            ended_rows = self._answer(ended_rows, self.partner)
        self._writing = rows[self.ended_by[rows] == WRITING]
        return ended_rows

    def allowed(self) -> BoolArray:
        """Return which tokens each row may choose next: [N, V]. Rows that do not write may choose anything."""
        allowed = self.masks.of(self._mask_state)
        is_parked = np.ones(self.num_rows, dtype=np.bool_)
        is_parked[self._writing] = False
        allowed[is_parked] = True
        return allowed

    def drawable(self) -> BoolArray:
        """Return which tokens each row may choose next, [N, V]; for rows that do not write, those that may begin an episode."""
        state = self.masks.start(self.num_rows)
        state[self._writing] = self._mask_state[self._writing]
        return self.masks.of(state)

    def episodes(self, rows: IntArray) -> list[Episode]:
        """Return what these rows hold, decoded in one call; `ending` is None for rows that still write."""
        texts = self.tokens.decode_rows(self._written(rows, self.prompt_length))
        turns = texts if self.partner is None else self.tokens.decode_rows(self._written(rows, self._turn))
        return [self._episode(row, text, turn) for row, text, turn in zip(rows.tolist(), texts, turns, strict=True)]

    def prompt(self, row: int) -> Prompt:
        """Return the prompt that this row continues."""
        return self._row_prompts[row]

    def _next_prompt(self, rng: np.random.Generator) -> tuple[int, Prompt]:
        """Return the prompt that the next episode continues and its number, and count that episode as started."""
        if self._num_started % self.group_size == 0:
            self._group_number, self._group_prompt = self.prompts.draw(rng)
        self._num_started += 1
        return self._group_number, self._group_prompt

    def _check(self, rows: IntArray, chosen: IntArray) -> None:
        vocab_size = self.tokens.vocab_size
        if len(chosen) and int(chosen.view(np.uint64).max()) >= vocab_size:  # as unsigned, a negative id is too large as well
            at = int(np.flatnonzero((chosen < 0) | (chosen >= vocab_size))[0])
            raise ValueError(f"an action must be a token id from 0 to {vocab_size - 1}, got {int(chosen[at])} in row {int(rows[at])}")
        if self.masks.restricts:
            allowed = self.masks.allows(self._mask_state[rows], chosen)
            if not allowed.all():
                at = int(np.flatnonzero(~allowed)[0])
                piece = self.tokens.pieces.get(int(chosen[at]), "no token")
                raise ValueError(
                    f"action {int(chosen[at])} ({piece!r}) in row {int(rows[at])} is masked: choose where action_masks() is True"
                )

    def _written(self, rows: IntArray, begin: IntArray) -> list[list[int]]:
        """Return the tokens that rows hold from their places in `begin` [N] on."""
        # The end token is no text, also where `eos_ids` names one that is not special to the tokenizer.
        starts, ends = begin[rows].tolist(), (self.length[rows] - (self.ended_by[rows] == BY_EOS)).tolist()
        return [ids[start:end] for ids, start, end in zip(self.ids[rows].tolist(), starts, ends, strict=True)]

    def _episode(self, row: int, text: str, turn: str) -> Episode:
        start, end = int(self.prompt_length[row]), int(self.length[row])
        code = int(self.ended_by[row])
        if code == BY_STOP:
            text, turn = self._cut(row), self._before_stop(turn)
        return Episode(
            self.prompt(row),
            self.ids[row, start:end].copy(),
            self.response_mask[row, start:end] == 1,
            text,
            ENDINGS[code],
            int(self.episode_index[row]),
            () if self.partner is None else (*self._said[row], turn),
        )

    def _cut(self, row: int) -> str:
        """Return the response before the earliest stop string of the agent's last turn."""
        start, turn, end = int(self.prompt_length[row]), int(self._turn[row]), int(self.length[row])
        before, written = self.tokens.decode_rows([self.ids[row, start:turn], self.ids[row, turn:end]])
        return before + self._before_stop(written)

    def _before_stop(self, turn: str) -> str:
        return turn[: min((at for text in self.stop if (at := turn.find(text)) >= 0), default=len(turn))]

    def _stopped(self, rows: IntArray, suspects: BoolArray) -> BoolArray:
        """Return which rows' turns contain a stop string; only rows whose newest token can complete one are decoded."""
        stopped = np.zeros(len(rows), dtype=np.bool_)
        places = np.flatnonzero(suspects)
        if len(places):
            turns = [self.ids[row, self._turn[row] : self.length[row]] for row in rows[places].tolist()]
            texts = self.tokens.decode_rows(turns)
            stopped[places] = [any(text in written for text in self.stop) for written in texts]
        return stopped

    def _answer(self, ended_rows: IntArray, partner: Partner) -> IntArray:
        """Let the partner answer turns that ended; return the rows whose episodes ended all the same."""
        waiting = ended_rows[self.ended_by[ended_rows] != BY_LENGTH]
        if len(waiting) == 0:
            return ended_rows
        codes = self.ended_by[waiting].copy()
        conversations = self.episodes(waiting)
        replies = list(partner(conversations))
        if len(replies) != len(waiting):
            raise ValueError(f"partner must return one reply or None per conversation: asked about {len(waiting)}, got {len(replies)}")
        for row, code, reply, conversation in zip(waiting.tolist(), codes.tolist(), replies, conversations, strict=True):
            if reply is not None and not isinstance(reply, str):
                raise ValueError(f"partner must return texts or None, got {reply!r} for episode {int(self.episode_index[row])}")
            words = reply or ""
            ids = self.tokens.encode(self._as_turn(words, code == BY_EOS)) if words else self.ids[row, :0]
            at = int(self.length[row])
            num_left = int(self._limit[row]) - at - len(ids)
            if len(ids) == 0 or num_left < self.masks.shortest:
                self.ended_by[row] = code  # nothing said, or no room left for an answer: the agent's own ending stands
                continue
            self.ids[row, at : at + len(ids)] = ids
            self.attention_mask[row, at : at + len(ids)] = 1
            self.length[row] = self._turn[row] = at + len(ids)
            self._said[row] = (*conversation.turns, words)
            self.ended_by[row] = WRITING
            self._mask_state[row] = self.masks.resume(1, num_left)[0]
        return ended_rows[self.ended_by[ended_rows] != WRITING]


def _as_it_is(words: str, has_ended: bool) -> str:
    return words


def _may_complete(stop: Sequence[str], tokens: Tokens) -> BoolArray | None:
    """Return which tokens [V] may hold the last character of a stop string: all others need no look at the text."""
    if not stop:
        return None
    last = {text[-1] for text in stop}
    ids = list(tokens.pieces)
    alone = tokens.decode_rows([[id] for id in ids])
    # After another token, so that a leading space which some tokenizers drop at the start of a text is seen.
    anchor = tokens.encode("a").tolist()
    after = tokens.decode_rows([[*anchor, id] for id in ids])
    may = np.zeros(tokens.vocab_size, dtype=np.bool_)
    for id, one, two in zip(ids, alone, after, strict=True):
        # Bytes that are no character on their own may be the end of one.
        may[id] = bool(last & (set(one) | set(two[1:]))) or REPLACEMENT in one or REPLACEMENT in two
    return may
