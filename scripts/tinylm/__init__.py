"""Build the bundled tiny language model: clean a corpus, train the tokenizer, train and evaluate the model."""
