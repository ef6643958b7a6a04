"""Text from file names and files, for messages."""


def printable(text):
    """Return a text whose line breaks, terminal codes and other unprintable characters are escaped.

    A file's name may hold any of them, and would forge lines of a log otherwise.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(number, noun):
    """Return a number and what it counts: "1 image", "2 images", "0 boxes"."""
    ending = "" if number == 1 else "es" if noun.endswith("x") else "s"
    return f"{number} {noun}{ending}"
