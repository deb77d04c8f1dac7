"""Name annotators that others use, and such that agree with each other as often as people were measured to.

Utilities are from -1 to 1, save where the points say otherwise (see `Annotator.points`).
crowd-66          two of them agree in 65.7 % of the pairs, as AlpacaEval's people (Dubois et al. 2023)
instructgpt-73    72.6 %, as InstructGPT's training labellers (Ouyang et al. 2022)
expert-81         81 %, as MT-Bench's people on votes without ties (Zheng et al. 2023)
vader-human       ratings of real people at a matching mean; two of them agree in 84.6 % of the pairs that neither ties
troll-10          vader-human, but one person in ten wants the opposite
alpaca-farm       a quarter of the labels are wrong (Dubois et al. 2023)
bpref-*           those of B-Pref (Lee et al. 2021): stoch, mistake, skip, equal and myopic; thresholds are a tenth of the scale
"""

from __future__ import annotations

from dataclasses import replace

from feedback.simulated.annotator import Annotator
from feedback.simulated.choices import Boltzmann
from feedback.simulated.empirical_people import POINTS, RealPeople
from feedback.simulated.slips import Coin, Flip, flips_for_agreement
from feedback.simulated.utility_parts import Myopic, Troll
from feedback.simulated.withheld_answers import Equal, Skip

AGREEMENTS = {"crowd-66": 0.657, "instructgpt-73": 0.726, "expert-81": 0.81}
_TENTH = 0.2  # of the scale from -1 to 1

PRESETS: dict[str, Annotator] = {
    "oracle": Annotator(),
    "bpref-stoch": Annotator(choice=Boltzmann(1.0)),
    "bpref-mistake": Annotator(slips=(Flip(0.1),)),
    "bpref-skip": Annotator(withholding=(Skip(-1.0 + _TENTH),)),
    "bpref-equal": Annotator(withholding=(Equal(_TENTH),)),
    "bpref-myopic": Annotator(utility=(Myopic(0.9),)),
    "alpaca-farm": Annotator(slips=(Coin(0.5),)),
    **{name: Annotator(slips=(Flip(flips_for_agreement(agreement)),)) for name, agreement in AGREEMENTS.items()},
    "vader-human": Annotator(choice=RealPeople(), rating=RealPeople(), points=POINTS),
    "troll-10": Annotator(utility=(Troll(0.1),), choice=RealPeople(), rating=RealPeople(), points=POINTS),
}


def preset(name: str | Annotator, seed: int | None = None, person: str | None = None) -> Annotator:
    """Return an annotator by the name of a preset, or the annotator that was given.

    Args:
        seed: of its noise; None = its own. person: whose noise it is; None = its own name.

    Errors: ValueError for an unknown name.
    """
    if isinstance(name, str):
        if name not in PRESETS:
            raise ValueError(f"there is no annotator {name!r}; there are {', '.join(PRESETS)}, or give an Annotator(...)")
        name = PRESETS[name]
    return replace(name, seed=name.seed if seed is None else seed, name=name.name if person is None else person)
