"""Let a simulated person answer a study through its page, as a rehearsal before people are asked."""

from __future__ import annotations

import time

from feedback.study import require_people

SECONDS_BETWEEN_LOOKS = 0.5


def rehearse(
    invitation: str,
    preset: str = "vader-human",
    taste: str = "feedback.sentiment:Sentiment",
    seed: int = 0,
    limit: int | None = None,
    wait: bool = False,
) -> int:
    """Answer what a study's page shows, as a simulated person; print how many answers were stored.

    Args:
        invitation: the link that the owner sends.
        preset: what kind of person, such as oracle, crowd-66, expert-81, vader-human or troll-10.
        taste: import path of the source that says what this person likes; its scale must be bounded.
        seed: decides the noise.
        limit: answers, at most; None = all that there are.
        wait: wait for more when nothing is left, until Ctrl-C.
    """
    require_people()
    from feedback.page.client import Client, answer_by_taste
    from feedback.simulated.study_rater import SimulatedRater
    from feedback.study.records import Person

    rater, client, person = SimulatedRater(taste, preset, seed), Client(invitation), Person(f"simulated {seed}")
    count = 0
    try:
        while limit is None or count < limit:
            stored = answer_by_taste(client, rater, person, None if limit is None else limit - count)
            count += stored
            if not stored and not wait:
                break
            if not stored:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        return 130
    finally:
        print(f"{count} answers were stored.", flush=True)
    return 0
