"""Read XML that nobody vouches for."""

from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat


def read_xml(content):
    """Return the root of an XML document.

    A document type declaration is refused: it is where entities are declared that grow to any
    size once they are expanded, or name other files.

    Args:
        content: bytes.

    Returns:
        xml.etree.ElementTree.Element.

    Raises:
        ValueError: it isn't well-formed, or holds a document type declaration.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    # LookupError: an encoding that Python doesn't know.
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"not XML: {error}") from error
    return builder.close()


def _refuse(*declaration):
    raise ValueError("a DOCTYPE declaration, which isn't read; remove it")
