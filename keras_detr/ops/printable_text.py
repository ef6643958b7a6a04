"""Text from file names and files, for messages."""


def printable(text):
    """Return a text whose line breaks, terminal codes and other unprintable characters are escaped.

    A file's name may hold any of them, and would forge lines of a log otherwise.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
