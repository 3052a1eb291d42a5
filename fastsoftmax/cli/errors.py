"""What ends a command with one line on stderr; which exit status each has is in main.py."""


class DataError(ValueError):
    """A file that is not a data set or a model; the message says what is wrong, and where."""


class CommandError(Exception):
    """What was asked for could not be done, though nothing is wrong with the arguments and the data."""
