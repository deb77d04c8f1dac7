"""Take a picture or an emoji as an answer to "is this good?": classified, said back, and stored only once it is confirmed."""
