from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import feedback
from feedback.catalogue import find_sources
from feedback.check import check_feedback
from feedback.source import Source
from text_env.episode import Feedback

SOURCES = find_sources()
AT_ONCE = [path for path in SOURCES if path != "feedback.asynchronous:Asynchronous"]  # that one judges later, which is another protocol


def made(path: str) -> Source:
    found = SOURCES[path]
    return found.example() if isinstance(found, type) else found


def test_the_walk_finds_every_public_source() -> None:
    public = {
        name for name in feedback.__all__ if name[0].isupper() and name not in ("Source", "Shaped")
    }  # Shaped pays at each step, which is another protocol
    assert public <= {path.partition(":")[2] for path in SOURCES}
    assert "feedback.sentiment:Sentiment" in SOURCES


@pytest.mark.parametrize("path", AT_ONCE)
def test_every_source_of_the_package_passes_check_feedback(path: str) -> None:
    check_feedback(made(path))


@pytest.mark.parametrize("path", SOURCES)
def test_every_source_of_the_package_is_a_feedback_with_a_documented_scale(path: str) -> None:
    source = made(path)
    assert isinstance(source, Feedback)
    assert source.low < source.high
    documentation = type(source).__doc__ or ""
    is_composed = type(source).__module__ in ("feedback.compose", "feedback.cached", "feedback.text")
    assert is_composed or "Gamed by:" in documentation, f"{path} does not say what games it"
    assert is_composed or "empty" in documentation, f"{path} does not say what it does with an empty response"


@pytest.mark.parametrize("path", AT_ONCE)
def test_every_source_of_the_package_can_be_scaled_clipped_and_pickled(path: str) -> None:
    composed = (-2.0 * made(path)).clip(-0.5, 0.5)
    check_feedback(pickle.loads(pickle.dumps(composed)))


def test_every_public_name_can_be_imported_and_no_other() -> None:
    assert sorted(feedback.__all__) == sorted(dir(feedback))
    assert all(getattr(feedback, name) is not None for name in feedback.__all__)
    with pytest.raises(AttributeError, match="module 'feedback' has no attribute 'Nonsense'"):
        feedback.Nonsense  # noqa: B018


def test_importing_the_package_or_composing_rules_loads_no_lexicon_and_no_model() -> None:
    code = (
        "import sys, feedback, feedback.sentiment\n"
        "from feedback import Contains, Repetition\n"
        "0.5 * Contains('cat') - Repetition()\n"
        "print([name for name in ('vaderSentiment', 'torch', 'transformers', 'tyro', 'rich') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(feedback.__file__).parents[1])
    assert shown.stdout.strip() == "[]"
