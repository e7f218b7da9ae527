"""Legal entities are changed as facts; one of them is the default at any time."""

import pytest

from billing import entities
from billing.models import LegalEntity
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def entity(code: str = "main", **fields: object) -> LegalEntity:
    return entities.create(at=JAN_1, **{"code": code, "name": "Vendor GmbH", "country": "DE"} | fields)


class TestCreate:
    def test_the_first_is_the_default(self) -> None:
        assert entity().is_default
        assert not entity("uk").is_default

    def test_a_new_default_takes_the_place_of_the_old(self) -> None:
        entity()
        entity("uk", is_default=True)
        assert LegalEntity.objects.get(is_default=True).code == "uk"

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"country": "XX"}, "country"),
            ({"timezone": "Mars"}, "timezone"),
            ({"name": " "}, "name"),
            ({"iban": "DE89 3704 0044 0532 0130 01"}, "iban"),
            ({"bic": "COBA"}, "bic"),
        ],
    )
    def test_it_refuses_what_makes_no_sense(self, fields: dict[str, object], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            entity(**fields)
        assert refused.value.attr == attr

    def test_it_keeps_account_numbers_without_spaces(self) -> None:
        made = entity(iban="DE89 3704 0044 0532 0130 00", bic="cobadeff xxx")
        assert (made.iban, made.bic) == ("DE89370400440532013000", "COBADEFFXXX")

    def test_it_refuses_a_code_that_is_taken(self) -> None:
        entity()
        with pytest.raises(Invalid) as refused:
            entity()
        assert refused.value.attr == "code"


class TestChange:
    def test_it_tells_what_changed(self) -> None:
        changed = entities.change(entity=entity(), at=JAN_1, name="Vendor AG", country="DE")
        assert (changed.name, changed.version) == ("Vendor AG", 2)
        assert Event.objects.get(type="billing.legal_entity.changed").data == {"code": "main", "changed": ["name"]}

    def test_nothing_changed_is_no_fact(self) -> None:
        entities.change(entity=entity(), at=JAN_1, name="Vendor GmbH")
        assert not Event.objects.filter(type="billing.legal_entity.changed").exists()

    def test_another_becomes_the_default(self) -> None:
        entity()
        entities.change(entity=entity("uk"), at=JAN_1, is_default=True)
        assert LegalEntity.objects.get(is_default=True).code == "uk"

    def test_the_default_is_not_given_up(self) -> None:
        with pytest.raises(Conflict) as refused:
            entities.change(entity=entity(), at=JAN_1, is_default=False)
        assert refused.value.code == "default_needed"
