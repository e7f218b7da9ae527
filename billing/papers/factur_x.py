"""A PDF/A-3 with an e-invoice inside: declared to be Factur-X by four properties in its metadata, and read again.

The typesetter embeds the file and knows nothing of the properties, so they are added as PDF foresees it, by an update
at the file's end that replaces one object: all that was there before stays as it is, byte for byte.
"""

import re
import zlib

FILENAME = "factur-x.xml"
_METADATA = re.compile(rb"(\d+) 0 obj\s*<<[^>]*/Type\s*/Metadata[^>]*>>\s*stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_EMBEDDED = re.compile(rb"<</Length (\d+)/Type/EmbeddedFile.*?>>\s*stream\r?\n", re.DOTALL)
_TRAILER = re.compile(rb"trailer\s*<<(.*)>>\s*startxref\s*(\d+)\s*%%EOF\s*\Z", re.DOTALL)
_NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_PROPERTIES = {
    "DocumentType": ("INVOICE", "Type of the embedded document"),
    "DocumentFileName": (FILENAME, "Name of the embedded file"),
    "Version": ("1.0", "Version of the schema of the embedded document"),
    "ConformanceLevel": ("EN 16931", "Conformance level of the embedded document"),
}
_SCHEMAS = b"<pdfaExtension:schemas><rdf:Bag>"


def declare(pdf: bytes) -> bytes:
    """The same document, declared to be Factur-X. Raises ValueError for a PDF that isn't written as Typst does."""
    metadata, trailer = _METADATA.search(pdf), _TRAILER.search(pdf)
    if metadata is None or trailer is None or _SCHEMAS not in metadata[2]:
        raise ValueError("this PDF has no metadata of PDF/A to add to")
    number, packet = metadata[1].decode(), _declared(metadata[2])
    start = len(pdf) + 1
    added = f"{number} 0 obj\n<</Length {len(packet)}/Type/Metadata/Subtype/XML>>\nstream\n".encode()
    added += packet + b"\nendstream\nendobj\n"
    table = f"xref\n{number} 1\n{start:010} 00000 n\r\ntrailer\n<<".encode()
    table += trailer[1] + b"/Prev " + trailer[2] + b">>\nstartxref\n" + str(start + len(added)).encode() + b"\n%%EOF\n"
    return pdf + b"\n" + added + table


def embedded(pdf: bytes) -> bytes:
    """The e-invoice inside a document; nothing where it has none."""
    found = _EMBEDDED.search(pdf)
    if found is None:
        return b""
    start, length = found.end(), int(found[1])
    content = pdf[start : start + length]
    return zlib.decompress(content) if b"/FlateDecode" in found[0] else content


def _declared(packet: bytes) -> bytes:
    with_schema = packet.replace(_SCHEMAS, _SCHEMAS + _schema().encode(), 1)
    return with_schema.replace(b"</rdf:RDF>", _values().encode() + b"</rdf:RDF>", 1)


def _values() -> str:
    values = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _meaning) in _PROPERTIES.items())
    return f'<rdf:Description rdf:about="" xmlns:fx="{_NAMESPACE}">{values}</rdf:Description>'


def _schema() -> str:
    """What PDF/A wants to know of properties that it doesn't know."""
    properties = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        "<pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{meaning}</pdfaProperty:description></rdf:li>"
        for name, (_value, meaning) in _PROPERTIES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{_NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )
