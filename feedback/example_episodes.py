"""Provide a dozen finished episodes of many kinds, to try a feedback source on without an environment."""

from __future__ import annotations

import numpy as np

from text_env.episode import Ending, Episode, IntArray, Prompt

BYTES_END = 256  # the byte tokenizer's end token


def example_episodes() -> list[Episode]:
    """Return a dozen finished episodes of many kinds, in bytes: with and without references, every ending, no text, many scripts."""
    film = Prompt("The film was", _ids("The film was"))
    city = Prompt("Capital of France?", _ids("Capital of France?"), ("Paris", "Paris, France"))
    told = [
        (film, " good, really good, the best I saw in years!", Ending.EOS),
        (film, " a dull and noisy mess; I left after an hour", Ending.LENGTH),
        (film, " about a cat and a dog. Cats are not dogs.", Ending.EOS),
        (film, " fine.", Ending.STOP),
        (film, "", Ending.EOS),
        (film, ".", Ending.LENGTH),
        (film, " \n\t ", Ending.LENGTH),
        (film, " the the the the the the the the the the the the", Ending.LENGTH),
        (film, " 3.14 (?!) -- 1,000,000 % ...", Ending.EOS),
        (city, " Paris.", Ending.EOS),
        (city, " It is London, I believe, or was it Rome", Ending.LENGTH),
        (city, "", Ending.STOP),
    ]
    return [byte_episode(prompt, response, ending, index) for index, (prompt, response, ending) in enumerate(told)]


def byte_episode(prompt: Prompt, response: str, ending: Ending, index: int) -> Episode:
    """Return an episode whose tokens are the response's UTF-8 bytes, with the end token or the stop string that its ending calls for."""
    after = {Ending.EOS: np.array([BYTES_END]), Ending.STOP: _ids("\n"), Ending.LENGTH: _ids("")}[ending]
    ids = np.concatenate([_ids(response), after])
    return Episode(prompt, ids, np.ones(len(ids), dtype=np.bool_), response, ending, index)


def _ids(text: str) -> IntArray:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
