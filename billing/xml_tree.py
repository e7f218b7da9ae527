"""XML written in the order that a schema wants it; what has nothing in it isn't written at all."""

from decimal import Decimal
from xml.etree import ElementTree

Node = ElementTree.Element


def node(tag: str, *content: Node | str | None, always: bool = False, **attributes: str) -> Node | None:
    """``<tag>`` with a text or with nodes; None where it would be empty, unless it stands ``always``."""
    found = [part for part in content if part is not None and part != ""]
    if not found and not always:
        return None
    made = ElementTree.Element(tag, attributes)
    for part in found:
        if isinstance(part, str):
            made.text = part
        else:
            made.append(part)
    return made


def numeral(number: Decimal) -> str:
    """A plain decimal without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def written(tree: Node | None, namespaces: dict[str, str]) -> bytes:
    """The tree as a document in UTF-8; tags hold the prefixes of ``namespaces`` (an empty one is the default)."""
    assert tree is not None, "a document has a root"
    for prefix, uri in namespaces.items():
        tree.set(f"xmlns:{prefix}" if prefix else "xmlns", uri)
    ElementTree.indent(tree, " ")
    return bytes(ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True)) + b"\n"
