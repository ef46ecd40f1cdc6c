"""Programs as a user writes them, one file a topic. They are not run: `tests/test_typing.py` has them checked."""
