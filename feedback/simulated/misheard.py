"""Hear answers that were spoken: most are understood, some are not, a few are taken for another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from feedback.simulated.replies_table import ABSTAIN, ANSWERED, TIE, Replies
from feedback.simulated.shown_sets import FloatArray


@dataclass(frozen=True)
class Misheard:
    """Lose answers, or take them for others, as a recogniser of spoken commands does.

    P(heard | said) is `rows`, or, where there are none, 1 - lost - wrong for what was said and wrong / (K - 1) for each other of K answers.
    What is lost is an abstention. Which answers there are: the second, a tie, the first; bad, good; or the steps from the lowest.

    Args:
        lost, wrong: shares. The defaults are those of this package's recogniser at its threshold, before anything is said back, on
            synthetic voices (`python -m feedback.speech`).
        rows: K rows of K + 1 probabilities, the last one of being lost; empty = as above.
    """

    lost: float = 0.64
    wrong: float = 0.003
    rows: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.lost < 0 or self.wrong < 0 or self.lost + self.wrong > 1:
            raise ValueError(f"lost and wrong must be shares with a sum of at most 1, got {self.lost} and {self.wrong}")
        if self.rows:
            table = [np.asarray(row, dtype=np.float64) for row in self.rows]
            if any(len(row) != len(table) + 1 or (row < 0).any() or not np.isclose(row.sum(), 1.0) for row in table):
                raise ValueError(f"rows must be K rows of K + 1 probabilities that sum to 1, got {self.rows}")

    def table(self, num_answers: int) -> FloatArray:
        """Return P(heard | said): [K, K + 1].

        Errors: ValueError where the rows are for another number of answers.
        """
        if self.rows and len(self.rows) != num_answers:
            raise ValueError(f"this table of what is heard knows {len(self.rows)} answers, and there are {num_answers}")
        if self.rows:
            return np.asarray(self.rows, dtype=np.float64)
        table = np.full((num_answers, num_answers + 1), self.wrong / (num_answers - 1))
        np.fill_diagonal(table, 1.0 - self.lost - self.wrong)
        table[:, -1] = self.lost
        return table

    def hear(self, said: Replies, answers: FloatArray, drawn: FloatArray) -> Replies:
        """Return what was heard of what was said; what was not said is not heard either.

        Args:
            answers: [K], the values there are, rising. drawn: [N], uniform.
        """
        edges = np.cumsum(self.table(len(answers)), axis=1)[:, :-1]
        meant = np.searchsorted(answers, np.where(said.is_said, said.value, answers[0]))
        heard = (drawn[:, None] >= edges[meant]).sum(axis=1)
        is_lost = heard == len(answers)
        value = np.where(said.is_said & ~is_lost, answers[np.minimum(heard, len(answers) - 1)], np.nan)
        codes = np.where(is_lost, ABSTAIN, np.where((value == 0.5) & (len(answers) == 3), TIE, ANSWERED))
        return replace(said, codes=np.where(said.is_said, codes, said.codes).astype(np.int8), value=value)
