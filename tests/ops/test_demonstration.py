"""The demonstration's sign-ins are public: where others could use them, it is not served."""

import pytest

from gtm import demo
from gtm.env import BadSetting
from gtm.management.commands.up import demonstrate
from tests import world

pytestmark = pytest.mark.django_db

EVERYWHERE = "0.0.0.0"  # noqa: S104  (what is refused)


@pytest.fixture
def first_sign_in() -> str:
    _, email, password = demo.SIGN_INS[0]
    world.user(email=email, password=password)
    return email


def test_it_is_not_loaded_where_others_could_sign_in(settings) -> None:
    settings.DEMO = True
    with pytest.raises(BadSetting, match=r"^The demonstration's sign-ins are public, and HOST is .*; set DEMO=0\.$"):
        demonstrate(EVERYWHERE)
    settings.STRIPE_SECRET_KEY = "sk_live_1"
    with pytest.raises(BadSetting, match=r"live gateway key is set; set DEMO=0\.$"):
        demonstrate("127.0.0.1")


def test_a_database_that_holds_it_is_not_served_there_either(settings, first_sign_in: str) -> None:
    settings.DEMO = False
    with pytest.raises(BadSetting, match="This database holds the demonstration"):
        demonstrate(EVERYWHERE)


def test_on_ones_own_machine_its_sign_ins_are_said(settings, first_sign_in: str) -> None:
    settings.DEMO = True
    for host in ("127.0.0.1", "localhost", "::1"):
        assert any(first_sign_in in line for line in demonstrate(host))


def test_an_installation_without_it_says_and_refuses_nothing(settings) -> None:
    settings.DEMO = False
    assert demonstrate(EVERYWHERE) == []
