import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agents.learning.collect import collect
from benchmarks.rollouts import FixedLengths, Generator, Writer, equal_lengths, mixed_lengths, padded_left
from text_env.episode import Ending
from text_env.tokens import TINYLM_FOLDER, load_tokens


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the folder of a random model that draws every token, end tokens included, about as often as any other."""
    folder = tmp_path_factory.mktemp("tiny")
    tokens = load_tokens("tinylm")
    config = LlamaConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        eos_token_id=list(range(tokens.vocab_size - 40, tokens.vocab_size)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((TINYLM_FOLDER / "tokenizer.json").read_bytes())
    return str(folder)


def test_every_response_gets_its_planned_length_whatever_the_policy_draws(tiny):
    lengths = mixed_lengths(8, 16, seed=0)
    writer = Writer(tiny, "float32", 8, 16, lengths, seed=0)
    rollout = writer.write()
    assert rollout.lengths.tolist() == lengths.tolist()
    assert set(rollout.endings) == {Ending.EOS}
    unplanned = collect(writer.env, writer.agent.policy, 32, seed=0)
    assert Ending.EOS in unplanned.endings  # the policy does draw end tokens when it is let


def test_both_sides_continue_the_same_prompts(tiny):
    lengths = mixed_lengths(4, 8, seed=1)
    rollout = Writer(tiny, "float32", 4, 8, lengths, seed=3).write()
    generator = Generator(tiny, "float32", 4, lengths, seed=3)
    prompts = [ids[mask == 1].tolist() for batch in generator.batches for ids, mask in zip(*batch[:2], strict=True)]
    assert prompts == [tokens[:length].tolist() for tokens, length in zip(rollout.tokens, rollout.prompt_lengths, strict=True)]


def test_writing_again_writes_the_same(tiny):
    writer = Writer(tiny, "float32", 4, 8, mixed_lengths(4, 8, seed=0), seed=0)
    assert np.array_equal(writer.write().tokens, writer.write().tokens)


def test_generate_goes_on_until_the_longest_response_of_a_batch_ends(tiny):
    lengths = np.asarray([2, 5, 3, 1, 1, 2])
    generator = Generator(tiny, "float32", 3, lengths, seed=0)
    written = [output.shape[1] - ids.shape[1] for output, (ids, _, _) in zip(generator.write(), generator.batches, strict=True)]
    assert written == [5, 2]


def test_a_row_of_generate_is_finished_once_it_has_its_tokens():
    criterion = FixedLengths(width=3, lengths=np.asarray([1, 2, 3]))
    assert criterion(torch.zeros((3, 5), dtype=torch.long), None).tolist() == [True, True, False]


def test_generate_leaves_the_global_generator_where_it_was(tiny):
    Generator(tiny, "float32", 2, equal_lengths(2, 3), seed=0).write()  # the guard of every test watches


def test_padding_stands_before_the_prompts_for_generate():
    ids, mask = padded_left([np.asarray([5]), np.asarray([6, 7])])
    assert ids.tolist() == [[0, 5], [6, 7]]
    assert mask.tolist() == [[0, 1], [1, 1]]


def test_lengths_are_mixed_over_their_whole_range_and_average_the_middle():
    lengths = mixed_lengths(64, 32, seed=0)
    assert (lengths.min(), lengths.max(), len(lengths)) == (4, 32, 256)
    assert abs(lengths.mean() - 18) < 3 * np.sqrt((29**2 - 1) / 12 / 256)
