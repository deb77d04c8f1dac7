"""Run feedback sources (`python -m feedback try`, `check`, `list`), and ask people (`serve`, `invite`, `rate` and what follows)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feedback.catalogue import find_sources
from feedback.check import CHECKS, check_feedback
from feedback.commands.fit_reward import fit_reward
from feedback.commands.rehearse import rehearse
from feedback.commands.study_exchange import export_study, import_study
from feedback.page.serving import invite, serve
from feedback.page.settings import PageError
from feedback.source import as_feedback
from feedback.study import require_people
from text_env.episode import Ending, Episode, Feedback, Judgement, Prompt
from text_env.names import named_values, resolve
from text_env.rendering import harmless
from text_env.scoring import FeedbackError, Judge
from text_env.tokens import Tokens, load_tokens

SourceName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Options = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]
EndingName = Literal["eos", "stop", "length"]


def try_source(
    source: SourceName,
    text: tuple[str, ...],
    prompt: str = "",
    reference: tuple[str, ...] = (),
    ending: EndingName = "eos",
    option: Options = (),
    tokenizer: str = "tinylm",
) -> None:
    """Judge one or more responses and show the score, its scale and its parts.

    Args:
        source: import path of the source, such as feedback.sentiment:Sentiment.
        text: the responses, asked about in one batch. Begin one with a space where the prompt ends with a word.
        prompt: what the responses continue.
        reference: reference answers of the prompt.
        ending: why the responses ended: an end token, a stop string, or the token budget.
        option: arguments for a source that is a class, such as words=cat or "words=['cat', 'dog']".
        tokenizer: what cuts the responses into tokens: tinylm, bytes, a hub id or a path.
    """
    feedback = _load(source, option)
    tokens = load_tokens(tokenizer)
    asked = Prompt(prompt, tokens.encode(prompt), reference)
    episodes = [_episode(asked, response, Ending(ending), tokens, index) for index, response in enumerate(text)]
    console = Console()
    judgements = Judge(feedback).ask(episodes)
    console.print(Text(f"{source}: {feedback.low:g} to {feedback.high:g}, {feedback.unit or 'no unit'}, higher is better"))
    console.print(_scores(episodes, judgements))
    for episode, judgement in zip(episodes, judgements, strict=True):
        if judgement.token_scores is not None:
            console.print(_token_scores(episode, judgement, tokens))


def check_source(source: SourceName, option: Options = (), skip: tuple[str, ...] = ()) -> None:
    """Check that a source keeps what the environment relies on, and show what was checked.

    Args:
        source: import path of the source, such as feedback.sentiment:Sentiment.
        option: arguments for a source that is a class, such as words=cat.
        skip: names of checks to leave out.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        passed = check_feedback(_load(source, option), skip=skip)
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in passed:
        table.add_row(Text("passed", "green"), name, Text((CHECKS[name].__doc__ or "").removeprefix("Check that "), "dim"))
    console.print(table)
    for warning in caught:
        console.print(Text(f"warning: {warning.message}", "yellow"))


def list_sources() -> None:
    """List the sources of this package, each with what it scores."""
    table = Table("source", "what it does", box=None, pad_edge=False)
    for path, found in find_sources().items():
        table.add_row(Text(path), Text((found.__doc__ or "").strip().partition("\n")[0]))
    Console().print(table)


def rate(
    study: str = "study.db",
    name: str | None = None,
    wait: bool = False,
    gold_every: int = 10,
    repeat_every: int = 15,
) -> int:
    """Judge what is waiting in a study, in this terminal.

    Args:
        study: path or URL of the study's database.
        name: who you are; what you say is kept under this name. None = your user's name.
        wait: wait for more when nothing is left, until Ctrl-C.
        gold_every: answers between two questions whose answer is known; 0 = none.
        repeat_every: answers between two that you answered before; 0 = none.
    """
    require_people()
    from feedback.commands.rate_terminal import rate_in_terminal
    from feedback.study.queueing import Mixing

    return rate_in_terminal(study, name, wait, mixing=Mixing(gold_every, repeat_every))


def agreement(study: str = "study.db") -> int:
    """Show who agrees with whom in a study, with themselves and with what is known.

    Args:
        study: path or URL of the study's database.
    """
    require_people()
    from feedback.commands.agreement_table import show_agreement

    return show_agreement(study)


COMMANDS: dict[str, Callable[..., int | None]] = {
    "try": try_source,
    "check": check_source,
    "list": list_sources,
    "rate": rate,
    "rehearse": rehearse,
    "agreement": agreement,
    "fit": fit_reward,
    "serve": serve,
    "invite": invite,
    "export": export_study,
    "import": import_study,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 if it did its work, 1 with one line on standard error if its input was wrong, 130 after Ctrl-C."""
    try:
        status = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="python -m feedback", description=__doc__, args=argv)
    except (FeedbackError, ImportError, OSError, PageError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if status is None else int(status)


def _load(source: str, option: Sequence[str]) -> Feedback:
    """Return the source that an import path and NAME=VALUE options name."""
    try:
        found = resolve(source, **named_values(option))
    except TypeError as error:
        raise TypeError(f"{error}; give the arguments of {source} as --option NAME=VALUE") from error
    return as_feedback(found)


def _episode(prompt: Prompt, response: str, ending: Ending, tokens: Tokens, index: int) -> Episode:
    ids = tokens.encode(response)
    if ending is Ending.EOS:
        ids = np.append(ids, tokens.eos_ids[0])
    return Episode(prompt, ids, np.ones(len(ids), dtype=np.bool_), response, ending, index)


def _scores(episodes: Sequence[Episode], judgements: Sequence[Judgement]) -> Table:
    """Return a table with a row per response and a column per part."""
    names = list(dict.fromkeys(name for judgement in judgements for name in judgement.parts))
    table = Table("response")
    for name in ("score", *names):
        table.add_column(Text(name), justify="right", no_wrap=True)
    has_critique = any(judgement.critique for judgement in judgements)
    if has_critique:
        table.add_column("critique")
    for episode, judgement in zip(episodes, judgements, strict=True):
        score = Text("abstained", "yellow") if judgement.score is None else Text(f"{judgement.score:.4f}", "bold")
        parts = [Text(f"{judgement.parts[name] + 0.0:+.4f}" if name in judgement.parts else "") for name in names]
        table.add_row(Text(harmless(episode.response)), score, *parts, *[Text(harmless(judgement.critique))] * has_critique)
    return table


def _token_scores(episode: Episode, judgement: Judgement, tokens: Tokens) -> Text:
    """Return the response with each token's score behind it."""
    assert judgement.token_scores is not None
    line = Text("token scores: ")
    for piece, score in zip(tokens.decode_rows(episode.ids[:, None].tolist()), judgement.token_scores, strict=True):
        line.append(harmless(piece) or "<end>").append(f" {score:+.3f} ", "green" if score > 0 else "red" if score < 0 else "dim")
    return line


if __name__ == "__main__":
    raise SystemExit(main())
