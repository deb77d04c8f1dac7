"""Say how far people agree, with each other, with themselves and with what is known."""
