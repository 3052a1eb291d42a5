"""The command line, `python -m fastsoftmax`, and what it runs."""
