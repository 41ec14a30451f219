"""The errors that a caller is expected to handle."""


class InputError(ValueError):
    """The input cannot be used.  The message is one sentence that says what is wrong and what to do."""


class Cancelled(Exception):
    """The user cancelled; nothing was left behind."""
