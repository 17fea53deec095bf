"""The wire: messages, their codec, and what is generated from them."""
