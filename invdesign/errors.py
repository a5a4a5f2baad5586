"""The one kind of error that the user can do something about."""


class InputError(ValueError):
    """The user's input is wrong. The message is one sentence: what, where, and what is allowed."""
