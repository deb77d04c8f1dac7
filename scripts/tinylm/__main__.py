"""Build the bundled tiny language model, step by step: clean, tokenizer, openings, train, evaluate, regenerate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from text_env import load_tokens

from .corpus import clean_corpus, read_corpus, split, write_corpus
from .openings import build_openings
from .regeneration import RegenerationConfig, regenerate
from .training import TrainingConfig, encode_texts, perplexity, train_model
from .vocabulary import train_tokenizer, write_assets

ASSETS = Path(__file__).parents[2] / "text_env" / "assets"


@dataclass(frozen=True, slots=True)
class Clean:
    """Clean a corpus, and print how many texts were kept, repaired and dropped for which reason."""

    corpus: Path  # JSON lines with kind, mood, finished, text; may be gzipped
    output: Path  # the clean corpus
    dropped: Path | None = None  # also write "reason <tab> text" lines of what was dropped

    def run(self) -> None:
        """Do it."""
        clean, counts, dropped = clean_corpus(read_corpus(self.corpus))
        write_corpus(self.output, clean)
        if self.dropped is not None:
            self.dropped.write_text("".join(f"{reason}\t{text.text!r}\n" for reason, text in dropped), encoding="utf-8")
        for kind, reasons in counts.items():
            print(f"{kind}: {sum(reasons.values())} texts; " + ", ".join(f"{reason} {number}" for reason, number in reasons.most_common()))
        print(f"{len(clean)} clean texts, {sum(len(text.text) for text in clean)} characters, in {self.output}")


@dataclass(frozen=True, slots=True)
class TrainTokenizer:
    """Train the tokenizer on the training part of a clean corpus, and write it and the model's configuration."""

    corpus: Path  # a clean corpus
    output: Path = ASSETS / "tinylm"  # folder for tokenizer.json and config.json

    def run(self) -> None:
        """Do it."""
        train, _ = split(read_corpus(self.corpus))
        tokenizer = train_tokenizer(train)
        write_assets(self.output, tokenizer)
        tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(train))
        print(f"{len(train)} texts, {tokens} tokens, {sum(map(len, train)) / tokens:.2f} characters a token, in {self.output}")


@dataclass(frozen=True, slots=True)
class Openings:
    """Write the review openings that are the environment's default prompts: train.txt and held_out.txt."""

    corpus: Path  # a clean corpus
    output: Path = ASSETS / "review_openings"  # folder for the two files
    tokenizers: tuple[str, ...] = ("tinylm", "smollm2")  # none of these may need more tokens than the limit
    seed: int = 0  # of the choice among the templates, and of the split

    def run(self) -> None:
        """Do it."""
        counters = [token_counter(name) for name in self.tokenizers]
        reviews = [text.text for text in read_corpus(self.corpus) if text.kind == "review"]
        self.output.mkdir(parents=True, exist_ok=True)
        for name, openings in zip(("train", "held_out"), build_openings(reviews, counters, self.seed), strict=True):
            (self.output / f"{name}.txt").write_text("".join(f"{opening}\n" for opening in openings), encoding="ascii")
            longest = max(count(opening) for count in counters for opening in openings)
            print(f"{len(openings)} openings of at most {longest} tokens, in {self.output / name}.txt")


def token_counter(name: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text for the tokenizer of that name."""
    tokens = load_tokens(name)
    return lambda text: len(tokens.encode(text))


@dataclass(frozen=True, slots=True)
class Train:
    """Train the model on a clean corpus; started again with the same work folder, it goes on from the last checkpoint."""

    corpus: Path  # a clean corpus
    work: Path  # folder of the checkpoint
    output: Path = ASSETS / "tinylm"  # folder of the tokenizer; the weights are written there at each checkpoint
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(default_factory=TrainingConfig)

    def run(self) -> None:
        """Do it."""
        tokenizer = Tokenizer.from_file(str(self.output / "tokenizer.json"))
        train, held_out = split(read_corpus(self.corpus))
        self.work.mkdir(parents=True, exist_ok=True)
        rows = encode_texts(tokenizer, train), encode_texts(tokenizer, held_out)
        train_model(*rows, self.training, self.work / "checkpoint.pt", self.output, lambda line: print(line, flush=True))


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Print the perplexity on the held-out texts, and unselected responses to held-out openings."""

    corpus: Path  # a clean corpus
    model: Path = ASSETS / "tinylm"  # folder of the model
    openings: Path = ASSETS / "review_openings" / "held_out.txt"  # one opening a line; the first ones are used
    responses: int = 20  # how many responses to print
    max_new_tokens: int = 64  # longest response
    seed: int = 0  # of the responses' draws

    def run(self) -> None:
        """Do it."""
        tokenizer = Tokenizer.from_file(str(self.model / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(self.model, dtype=torch.float32)
        _, held_out = split(read_corpus(self.corpus))
        print(f"held-out perplexity {perplexity(model, encode_texts(tokenizer, held_out)):.2f} over {len(held_out)} texts")
        generator = torch.Generator().manual_seed(self.seed)
        for opening in self.openings.read_text(encoding="utf-8").splitlines()[: self.responses]:
            print(f"- **{opening}**{respond(model, tokenizer, opening, self.max_new_tokens, generator)}")


@torch.no_grad()
def respond(model: LlamaForCausalLM, tokenizer: Tokenizer, opening: str, max_new_tokens: int, generator: torch.Generator) -> str:
    """Draw one response at temperature 1; "[...]" marks one that the token budget cut."""
    ids = tokenizer.encode(opening).ids
    start = len(ids)
    while len(ids) < start + max_new_tokens:
        probabilities = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        token = int(torch.multinomial(probabilities, 1, generator=generator))
        if token == 0:
            return str(tokenizer.decode(ids[start:]))
        ids.append(token)
    return str(tokenizer.decode(ids[start:])) + " [...]"


@dataclass(frozen=True, slots=True)
class Regenerate:
    """Write a corpus of the same form with SmolLM2 through this project's own environment and rollout."""

    output: Path  # JSON lines; gzipped if the name ends in .gz
    regeneration: Annotated[RegenerationConfig, tyro.conf.arg(name="")] = field(default_factory=RegenerationConfig)

    def run(self) -> None:
        """Do it."""
        texts = regenerate(self.regeneration)
        write_corpus(self.output, texts)
        print(f"{len(texts)} texts, {sum(text.finished for text in texts)} of them finished, in {self.output}")


def main() -> None:
    """Run the subcommand that the command line names."""
    commands: dict[str, Callable[..., Any]] = {
        "clean": Clean,
        "tokenizer": TrainTokenizer,
        "openings": Openings,
        "train": Train,
        "evaluate": Evaluate,
        "regenerate": Regenerate,
    }
    tyro.extras.subcommand_cli_from_dict(commands, prog="python -m scripts.tinylm", description=__doc__).run()


if __name__ == "__main__":
    main()
