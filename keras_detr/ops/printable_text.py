"""Text from file names and files, for messages."""

import difflib


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


def did_you_mean(name, known):
    """Return the end of a message about an unknown name: the most similar known one, or nothing."""
    names = {str(each).casefold(): str(each) for each in known}
    found = difflib.get_close_matches(str(name).casefold(), names, n=1, cutoff=0.7)
    return f" Did you mean {names[found[0]]!r}?" if found else ""
