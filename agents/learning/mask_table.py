"""Keep each different mask of a rollout once, since rows share few."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


class MaskTable:
    """Number masks in the order in which they were met."""

    def __init__(self) -> None:
        self._number_of: dict[bytes, int] = {}
        self._rows: list[BoolArray] = []

    def __len__(self) -> int:
        """Return U, how many different masks were met."""
        return len(self._rows)

    @property
    def table(self) -> BoolArray:
        """Return the different masks: [U, V]."""
        return np.stack(self._rows)

    def numbers(self, action_mask: BoolArray) -> IntArray:
        """Return the number [n] of each row's mask, out of [n, V], entering new ones."""
        packed = np.packbits(action_mask, axis=1)
        # one opaque item a row: sorted as columns of a record, tens of thousands of tokens would take longer than the model
        items = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
        different, first, place = np.unique(items, return_index=True, return_inverse=True)
        numbers = np.zeros(len(different), dtype=np.int64)
        for at, item in enumerate(different):
            key = item.tobytes()
            if key not in self._number_of:
                self._number_of[key] = len(self._rows)
                self._rows.append(action_mask[first[at]].copy())
            numbers[at] = self._number_of[key]
        return numbers[place.reshape(-1)]
