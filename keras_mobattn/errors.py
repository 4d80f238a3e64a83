"""The one exception for mistakes that the caller can mend."""


class InputError(ValueError):
    """What the caller gave can't be used. The message says what was expected, what was received, and what to do.

    A ValueError, so that library users can catch it as Keras's own errors are caught; scripts print it as one sentence.
    """


def choose(table, name, what):
    """Return `table[name]`, or raise an InputError that lists the choices. `what` names the thing: "precision"."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise InputError(f"Unknown {what}: expected one of {', '.join(map(repr, table))}. Received: {name!r}.")
