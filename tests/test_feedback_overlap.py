"""Metrics against references equal the libraries' own command lines on the same lines, and say what they need."""

from __future__ import annotations

import json
import pickle
import random
import re
import string
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from feedback import Bleu, Chrf, ExactMatch, Rouge, Shaped, TokenF1, corpus_bleu, corpus_chrf
from feedback.source import Source
from feedback.token_f1 import ARTICLES, answer_words
from tests.test_feedback_rules import told
from tests.tiny_sources import END, make
from text_env.episode import Episode
from text_env.scoring import FeedbackError

# response, and two references each: other languages, signs, an empty response, an identical one, one without a common letter
LINES = [
    ("The cat sat on the mat.", "The cat is sitting on the mat.", "A cat sat on a mat."),
    ("quatre-vingt-dix-neuf", "quatre-vingt-dix-neuf", "nonante-neuf"),
    ("", "Nothing was written here.", "There is nothing."),
    ("le 3 janvier 2021, un dimanche", "dimanche 3 janvier 2021", "le dimanche 3 janvier 2021"),
    ("zzz", "Ein völlig anderer Satz.", "Noch einer."),
    ("Größe: 3,14 m (ungefähr)", "Die Größe beträgt etwa 3,14 m.", "Größe ungefähr 3,14 m"),
    ("the the the the the the the", "the cat and the dog and the bird", "the end"),
    ("Save the file before you close it", "Save the file before closing it!", "Save your file before you close it."),
    ('He said: "no" -- and left...', 'He said "no" and went.', "He refused and left."),
    ("one two three four five six seven eight", "eight seven six five four three two one", "1 2 3 4 5 6 7 8"),
]
HYPOTHESES, *REFERENCES = (list(column) for column in zip(*LINES, strict=True))


def asked(pairs: Sequence[Sequence[str]]) -> list[Episode]:
    """Return one episode for each response and its references."""
    return [told(response, prompt="Translate:", references=tuple(references))[0] for response, *references in pairs]


def scores(source: Source, episodes: Sequence[Episode]) -> list[float]:
    return [judgement.score for judgement in source(episodes)]  # type: ignore[union-attr, misc]


def written(folder: Path) -> tuple[Path, list[Path]]:
    """Write the lines to files as the command lines read them."""
    response, *references = (folder / name for name in ("responses.txt", "first.txt", "second.txt"))
    for path, lines in zip((response, *references), (HYPOTHESES, *REFERENCES), strict=True):
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return response, references


def sacrebleu_says(folder: Path, *options: str, num_references: int = 2) -> str:
    response, references = written(folder)
    command = [sys.executable, "-m", "sacrebleu", *map(str, references[:num_references]), "-i", str(response), "-w", "10", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# chrF and BLEU


def test_corpus_figures_equal_those_of_sacrebleus_command_line(tmp_path: Path) -> None:
    shown = json.loads(sacrebleu_says(tmp_path, "-m", "bleu", "chrf"))
    assert [each["name"] for each in shown] == ["BLEU", "chrF2"]
    episodes = asked(LINES)
    assert [100 * corpus_bleu(episodes), 100 * corpus_chrf(episodes)] == pytest.approx([each["score"] for each in shown], abs=1e-9)


def test_sentence_chrf_equals_sacrebleus_command_line(tmp_path: Path) -> None:
    shown = sacrebleu_says(tmp_path, "-m", "chrf", "--sentence-level", "-b").split()
    assert [100 * score for score in scores(Chrf(), asked(LINES))] == pytest.approx([float(each) for each in shown], abs=1e-9)


def test_sentence_bleu_equals_sacrebleus_command_line(tmp_path: Path) -> None:
    shown = sacrebleu_says(tmp_path, "-m", "bleu", "--sentence-level", "-b").split()
    assert [100 * score for score in scores(Bleu(), asked(LINES))] == pytest.approx([float(each) for each in shown], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--chrf-word-order", "2"], {"word_order": 2}),
        (["--chrf-char-order", "4", "--chrf-beta", "1"], {"char_order": 4, "beta": 1}),
        (["--chrf-lowercase"], {"ignore_case": True}),
    ],
)
def test_settings_of_chrf_are_those_of_the_command_line(options: list[str], settings: dict[str, Any], tmp_path: Path) -> None:
    corpus = json.loads(sacrebleu_says(tmp_path, "-m", "chrf", *options))["score"]
    lines = sacrebleu_says(tmp_path, "-m", "chrf", "--sentence-level", "-b", *options, num_references=1).split()
    episodes = asked([line[:2] for line in LINES])
    assert 100 * corpus_chrf(asked(LINES), **settings) == pytest.approx(corpus, abs=1e-9)
    assert [100 * score for score in scores(Chrf(**settings), episodes)] == pytest.approx([float(each) for each in lines], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--smooth-method", "floor"], {"smoothing": "floor"}),
        (["--smooth-method", "add-k", "--tokenize", "intl"], {"smoothing": "add-k", "tokenize": "intl"}),
        (["--smooth-method", "none", "-lc", "--tokenize", "char"], {"smoothing": "none", "tokenize": "char", "ignore_case": True}),
    ],
)
def test_settings_of_bleu_are_those_of_the_command_line(options: list[str], settings: dict[str, Any], tmp_path: Path) -> None:
    corpus = json.loads(sacrebleu_says(tmp_path, "-m", "bleu", *options))["score"]
    lines = sacrebleu_says(tmp_path, "-m", "bleu", "--sentence-level", "-b", *options, num_references=1).split()
    episodes = asked([line[:2] for line in LINES])
    assert 100 * corpus_bleu(asked(LINES), **settings) == pytest.approx(corpus, abs=1e-9)
    assert [100 * score for score in scores(Bleu(**settings), episodes)] == pytest.approx([float(each) for each in lines], abs=1e-9)


@pytest.mark.parametrize("settings", [{}, {"word_order": 2}, {"char_order": 3, "beta": 3}])
def test_each_chrf_is_that_of_sacrebleu_for_any_number_of_references(settings: dict[str, int]) -> None:
    draw = random.Random(0)
    pairs = [
        [" ".join(draw.choices(["ab", "ba", "abc", "c", "ca."], k=draw.randint(0, 8))) for _ in range(draw.randint(2, 4))]
        for _ in range(60)
    ]
    pairs = [[response, *(reference or "a" for reference in references)] for response, *references in pairs]
    expected = [sacrebleu.sentence_chrf(response, references, **settings).score / 100 for response, *references in pairs]
    assert scores(Chrf(**settings), asked(pairs)) == pytest.approx(expected, abs=1e-12)
    assert len({round(score, 3) for score in expected}) > 20


@pytest.mark.parametrize("smoothing", ["exp", "floor", "add-k", "none"])
def test_each_bleu_is_that_of_sacrebleu_for_any_number_of_references(smoothing: Any) -> None:
    draw = random.Random(1)
    pairs = [[" ".join(draw.choices("abcd", k=draw.randint(1, 9))) for _ in range(draw.randint(2, 4))] for _ in range(60)]
    expected = [
        sacrebleu.sentence_bleu(response, references, smooth_method=smoothing, use_effective_order=True).score / 100
        for response, *references in pairs
    ]
    assert scores(Bleu(smoothing), asked(pairs)) == pytest.approx(expected, abs=1e-12)
    assert all(0 <= score <= 1 for score in scores(Bleu(smoothing), asked(pairs)))


def test_the_parts_of_chrf_make_its_score() -> None:
    for judgement in Chrf(word_order=2, beta=3)(asked(LINES)):
        assert judgement is not None
        precision, recall = judgement.parts["precision"], judgement.parts["recall"]
        assert judgement.score == pytest.approx(10 * precision * recall / (9 * precision + recall) if recall else 0.0, abs=1e-12)


def test_precision_and_recall_of_chrf_are_those_of_the_letters() -> None:
    # with single letters alone: "abab" holds a a b b, the reference a b c; two letters of four are right, two of three are there
    (judgement,) = Chrf(char_order=1, beta=1)(told("ab ab", references=("a b c",)))
    assert judgement is not None
    assert judgement.parts == {"precision": 0.5, "recall": pytest.approx(2 / 3)}
    assert judgement.score == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))


def test_the_parts_of_bleu_make_its_score() -> None:
    (judgement,) = Bleu(max_order=2)(told("a b c", references=("a b d e",)))
    assert judgement is not None
    # two of three words, one of two pairs, and three words for four
    expected = {"1-gram precision": 2 / 3, "2-gram precision": 1 / 2, "brevity penalty": 2.718281828459045 ** (1 - 4 / 3)}
    assert judgement.parts == pytest.approx(expected)
    assert judgement.score == pytest.approx(expected["brevity penalty"] * (2 / 3 * 1 / 2) ** 0.5)


def test_a_corpus_figure_is_not_the_mean_of_the_sentences() -> None:
    episodes = asked(LINES)
    for corpus, source in ((corpus_bleu, Bleu()), (corpus_chrf, Chrf())):
        assert abs(corpus(episodes) - sum(scores(source, episodes)) / len(episodes)) > 0.01


def test_a_corpus_of_lines_too_short_for_bleu_scores_as_sacrebleu_has_it() -> None:
    episodes = told("a b", "c d", references=("a b",))
    expected = sacrebleu.corpus_bleu(["a b", "c d"], [["a b", "a b"]]).score / 100
    assert corpus_bleu(episodes) == expected < scores(Bleu(), episodes)[0], "only the sentence score adapts to the length"


def test_a_corpus_figure_takes_other_numbers_of_references_for_other_prompts() -> None:
    pairs = [line if number % 2 else line[:2] for number, line in enumerate(LINES)]
    columns: list[list[str | None]] = [REFERENCES[0], [line[2] if len(line) > 2 else None for line in pairs]]  # type: ignore[misc]
    assert corpus_chrf(asked(pairs)) == pytest.approx(sacrebleu.CHRF().corpus_score(HYPOTHESES, columns).score / 100, abs=1e-12)
    assert corpus_bleu(asked(pairs)) == pytest.approx(sacrebleu.BLEU().corpus_score(HYPOTHESES, columns).score / 100, abs=1e-12)


# ROUGE


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_each_rouge_is_that_of_rouge_score_against_the_best_reference(kind: str) -> None:
    lines = [(response.replace(" ", "\n", 1), *references) for response, *references in LINES]
    scorer = RougeScorer([kind])
    for judgement, (response, *references) in zip(Rouge(kind)(asked(lines)), lines, strict=True):
        best = max((scorer.score(reference, response)[kind] for reference in references), key=lambda found: found.fmeasure)
        assert judgement is not None
        assert judgement.score == best.fmeasure
        assert (judgement.parts["precision"], judgement.parts["recall"]) == (best.precision, best.recall)


@pytest.mark.slow
@pytest.mark.parametrize("stemming", [False, True])
def test_rouge_equals_rouge_scores_command_line(stemming: bool, tmp_path: Path) -> None:
    response, references = written(tmp_path)
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    options = {
        "target_filepattern": references[0],
        "prediction_filepattern": response,
        "output_filename": tmp_path / "scores.csv",
        "rouge_types": ",".join(kinds),
    }
    command = [sys.executable, "-m", "rouge_score.rouge", "--noaggregate", *(f"--{name}={value}" for name, value in options.items())]
    subprocess.run([*command, *["--use_stemmer"] * stemming], capture_output=True, check=True)
    head, *rows = [line.split(",") for line in (tmp_path / "scores.csv").read_text().splitlines()]
    episodes = asked([line[:2] for line in LINES])
    for kind in kinds:
        shown = [float(row[head.index(f"{kind}-F")]) for row in rows]
        assert scores(Rouge(kind, stemming), episodes) == pytest.approx(shown, abs=5e-7)  # six digits are printed


def test_a_reference_that_rouge_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("ROUGE reads the letters a-z and digits, and reference '你好' has none: use Chrf")):
        Rouge()(told("hello", references=("hello", "你好")))


# token F1


def squad_f1(response: str, reference: str) -> float:
    """Compute the F1 of ASCII texts in the order that SQuAD gives: lower case, no punctuation, no articles, words."""

    def cut(text: str) -> list[str]:
        bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()

    wished, left = cut(response), cut(reference)
    if not wished or not left:
        return float(wished == left)
    common, num_words = 0, len(wished) + len(left)
    for word in wished:
        if word in left:
            left.remove(word)
            common += 1
    return 2 * common / num_words


def test_token_f1_of_ascii_texts_is_that_of_squad() -> None:
    draw = random.Random(2)
    pieces = ["the", "The", "a", "an", "cat", "cat's", "3.14", "314", "cats", "-", "(cat)", "A.", "theory", "$5", "U.S."]
    pairs = [
        [" ".join(draw.choices(pieces, k=draw.randint(0, 5))), " ".join(draw.choices(pieces, k=draw.randint(1, 5)))] for _ in range(300)
    ]
    assert scores(TokenF1(), asked(pairs)) == pytest.approx([squad_f1(*pair) for pair in pairs], abs=1e-12)


def test_token_f1_takes_the_best_reference_and_says_precision_and_recall() -> None:
    (judgement,) = TokenF1()(told(" The Eiffel Tower, in Paris.", references=("London", "Eiffel Tower", "Tower")))
    assert judgement is not None
    # eiffel tower in paris: two of four words are right, and both of the second reference are there
    assert judgement.parts == {"precision": 0.5, "recall": 1.0}
    assert judgement.score == pytest.approx(2 / 3)


def test_token_f1_knows_signs_and_letters_of_other_scripts() -> None:
    assert answer_words("«Café» — l\u2019été…", ()) == ("café", "lété")
    assert answer_words("cafe\u0301") == answer_words("CAFÉ")
    assert answer_words("हिन्दी, भाषा।") == ("हिन्दी", "भाषा")  # vowel signs are no signs


def test_articles_are_those_of_the_language() -> None:
    assert answer_words("L\u2019eau de la mer", ARTICLES["fr"]) == ("eau", "de", "mer")
    french = told("mer", references=("La mer",))
    assert scores(TokenF1("fr"), french) == [1.0]
    assert scores(TokenF1("en"), french) == [pytest.approx(2 / 3)]
    assert scores(TokenF1(["der"]), told("der Berg", references=("Berg",))) == [1.0]
    with pytest.raises(ValueError, match=re.escape("articles must be one of en, fr, es, de, or a list of words, got 'xx'")):
        TokenF1("xx")


def test_two_ways_to_write_an_accent_match_exactly() -> None:
    assert ExactMatch()(told("cafe\u0301", references=("CAFÉ",))) == [1.0]
    assert ExactMatch(normalise=False)(told("cafe\u0301", references=("café",))) == [0.0]


# what all of them share

EACH: list[Callable[[], Source]] = [Chrf, Bleu, Rouge, TokenF1]


@pytest.mark.parametrize("source", EACH)
def test_the_reference_itself_scores_1_and_nothing_scores_0(source: Callable[[], Source]) -> None:
    references = ("It is a good day today", "Such a day")
    assert scores(source(), told("It is a good day today", "", "  ", "qqq", references=references)) == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("source", EACH)
def test_a_prompt_without_references_is_no_opinion(source: Callable[[], Source]) -> None:
    assert [each is None for each in source()([*told("x"), *told("x", references=("x",))])] == [True, False]


@pytest.mark.parametrize("source", EACH)
def test_an_empty_reference_is_an_error_that_names_the_prompt(source: Callable[[], Source]) -> None:
    message = "reference 1 of prompt 'Say it:' must have text to compare with, got ' ': take it out of Prompt.references"
    with pytest.raises(ValueError, match=re.escape(message)):
        source()(told("x", prompt="Say it:", references=("x", " ")))


@pytest.mark.parametrize("corpus", [corpus_bleu, corpus_chrf])
def test_a_corpus_figure_needs_a_reference_for_every_episode(corpus: Callable[[list[Episode]], float]) -> None:
    with pytest.raises(ValueError, match=re.escape("prompt 'Say it:' has none: leave its episodes out")):
        corpus([*told("x", references=("x",)), *told("x", prompt="Say it:")])
    with pytest.raises(ValueError, match="at least one episode, got none"):
        corpus([])


@pytest.mark.parametrize(("source", "package"), [(Chrf, "sacrebleu"), (Bleu, "sacrebleu"), (Rouge, "rouge_score")])
def test_a_metric_without_its_package_says_what_to_install(
    source: Callable[[], Source], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f'needs {package}: pip install "textgen-gym[metrics]"')):
        source()


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: Chrf(char_order=0), "char_order must be at least 1, got 0"),
        (lambda: Chrf(word_order=-1), "word_order must be at least 0, got -1"),
        (lambda: Chrf(beta=0), "beta must be at least 1, got 0"),
        (lambda: Bleu("exponential"), "smoothing must be one of exp, floor, add-k, none, got 'exponential'"),  # type: ignore[arg-type]
        (lambda: Bleu(tokenize="spm"), "tokenize must be one of 13a, intl, char, zh, none, got 'spm'"),  # type: ignore[arg-type]
        (lambda: Bleu(max_order=0), "max_order must be at least 1, got 0"),
        (lambda: Rouge("rouge0"), "kind must be rouge1 to rouge9, rougeL or rougeLsum, got 'rouge0'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make_it: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make_it()


@pytest.mark.parametrize("source", [Chrf(word_order=2), Bleu("floor", 2), Rouge("rouge2", True), TokenF1("fr")])
def test_a_metric_is_pickled_as_its_settings(source: Source) -> None:
    source(asked(LINES))
    pickled = pickle.dumps(source)
    assert len(pickled) < 250
    assert repr(pickle.loads(pickled)) == repr(source)
    assert scores(pickle.loads(pickled), asked(LINES)) == scores(source, asked(LINES))


# what games them


def test_the_words_of_the_reference_in_any_order_game_what_counts_single_words_or_letters() -> None:
    episodes = told(
        "differences languages found considerable between we", references=("we found considerable differences between languages",)
    )
    assert scores(Rouge("rouge1"), episodes) == scores(TokenF1(), episodes) == [1.0]
    assert scores(Chrf(), episodes)[0] > 0.7
    assert scores(Bleu(), episodes)[0] < 0.3
    assert scores(Rouge("rouge2"), episodes)[0] < 0.3


def test_writing_on_costs_little_chrf_and_much_bleu() -> None:
    reference = "the quick brown fox jumps over the lazy dog"
    episodes = told(reference, f"{reference} but something unheard was found in my cup", references=(reference,))
    chrf, bleu = scores(Chrf(), episodes), scores(Bleu(), episodes)
    assert chrf[1] > 0.75 * chrf[0]
    assert bleu[1] < 0.6 * bleu[0]


def test_leaving_out_what_is_unsure_games_bleu() -> None:
    guessed, left_out = scores(Bleu(), told("a b c d e f g h x y", "a b c d e f g h", references=("a b c d e f g h i j",)))
    assert left_out > guessed


def test_the_frequent_words_of_a_text_game_rouge_1() -> None:
    reference = "the editor of the paper moved the talks to the end of the week"
    frequent, apt = scores(
        Rouge("rouge1"), told("the the the the of of to", "newspaper chief postpones negotiations", references=(reference,))
    )
    assert frequent > 0.6 > apt == 0.0


def test_a_list_of_candidates_games_token_f1_but_not_exact_match() -> None:
    episodes = told("Paris London", references=("Paris",))
    assert scores(TokenF1(), episodes) == [pytest.approx(2 / 3)]
    assert ExactMatch()(episodes) == [0.0]


def test_the_frequent_words_of_several_references_game_bleu() -> None:
    references = ("the dog ran to the park", "a dog ran over to a park")
    assert scores(Bleu(max_order=1), told("the the a a dog", references=references))[0] > 0.8
    assert scores(Rouge("rouge1"), told("the the a a dog", references=references))[0] < 0.6


# chrF that pays as the prefix grows


def paid(text: str, reference: str) -> tuple[list[float], float]:
    """Write a text and the end token; return the reward of each token, and the score."""
    prompts = [{"prompt": "Say it:", "references": [reference]}]
    env = make(prompts=prompts, feedback=Shaped(Chrf(), potential=Chrf(), tokenizer="bytes"), max_new_tokens=16)
    env.reset(seed=0)
    outcomes = [env.step(token) for token in [*text.encode(), END]]
    return [float(outcome[1]) for outcome in outcomes], float(outcomes[-1][4]["score"])


@pytest.mark.parametrize("text", ["blue sky", "blue sun", "xyz", ""])
def test_payments_for_chrf_sum_to_the_score_of_the_whole_response(text: str) -> None:
    payments, score = paid(text, "blue sky")
    assert sum(payments) == pytest.approx(score, abs=1e-12)
    assert score == pytest.approx(sacrebleu.sentence_chrf(text, ["blue sky"]).score / 100, abs=1e-12)


def test_a_right_token_is_paid_and_a_wrong_one_costs() -> None:
    right, _ = paid("blue sky", "blue sky")
    assert [payment > 0 for payment in right[:8]] == [letter != " " for letter in "blue sky"], "chrF does not read spaces"
    wrong, _ = paid("bluxx", "blue sky")
    assert min(wrong[:3]) > 0 > max(wrong[3:5])
    assert right[8] == wrong[5] == 0.0, "the end token earns nothing: all was paid before"


def test_a_shaped_chrf_without_references_is_an_error_of_the_environment() -> None:
    env = make(feedback=Shaped(Chrf(), potential=Chrf(), tokenizer="bytes"))
    env.reset(seed=0)
    with pytest.raises(FeedbackError, match="Chrf abstained on"):
        env.step(ord("a"))
