import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gtm.shared import db, keys
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import ApiKey, Event
from tests import world

pytestmark = pytest.mark.django_db


class TestIssue:
    def test_shows_the_key_once_and_keeps_its_digest(self):
        key, plaintext = keys.issue(name="Shop", scope="write")
        assert plaintext.startswith("tdm_")
        assert len(plaintext) == 47
        assert key.digest == hashlib.sha256(plaintext.encode()).hexdigest()
        assert key.hint == plaintext[:8]
        assert plaintext not in str(ApiKey.objects.values().get())

    def test_tells_of_it_without_the_key(self):
        key, plaintext = keys.issue(name="Shop", scope="read", user=(fay := world.fay()))
        event = Event.objects.get(type="api_key.issued")
        assert (event.object_id, event.data) == (key.id, {"scope": "read", "user": fay.public_id})
        assert plaintext[8:] not in str(Event.objects.values().get())

    @pytest.mark.parametrize(
        ("changes", "attr"), [({"name": " "}, "name"), ({"name": "x" * 201}, "name"), ({"scope": "admin"}, "scope")]
    )
    def test_refuses(self, changes, attr):
        with pytest.raises(Invalid) as refusal:
            keys.issue(**{"name": "Shop", "scope": "read"} | changes)
        assert refusal.value.attr == attr
        assert not ApiKey.objects.exists()

    def test_binds_to_active_staff_only(self):
        for outsider in (
            world.user(email="cora@acme.example"),
            world.user(email="x@y.example", roles=("ae",), is_active=False),
        ):
            with pytest.raises(Invalid):
                keys.issue(name="Shop", scope="read", user=outsider)


class TestFind:
    def test_finds_by_the_whole_key_only(self):
        key, plaintext = keys.issue(name="Shop", scope="read")
        assert keys.find(plaintext) == key
        for other in ("", plaintext[:-1], plaintext.upper(), key.hint, key.digest, "tdm_\udcff"):
            assert keys.find(other) is None

    def test_does_not_find_a_revoked_one(self):
        key, plaintext = keys.issue(name="Shop", scope="read")
        keys.revoke(key=key, at=db.now())
        assert keys.find(plaintext) is None

    @pytest.mark.parametrize("change", [{"is_active": False}, {"roles": []}])
    def test_does_not_find_one_of_somebody_who_left(self, change):
        user = world.ann()
        _, plaintext = keys.issue(name="Shop", scope="read", user=user)
        assert keys.find(plaintext)
        type(user).objects.filter(pk=user.pk).update(**change)
        assert keys.find(plaintext) is None

    def test_notes_its_use_at_most_once_a_minute(self, django_assert_num_queries):
        key, plaintext = keys.issue(name="Shop", scope="read")
        with django_assert_num_queries(2):
            keys.find(plaintext)
        key.refresh_from_db()
        first = key.last_used_at
        with django_assert_num_queries(1):
            keys.find(plaintext)
        ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
        with django_assert_num_queries(2):
            keys.find(plaintext)
        key.refresh_from_db()
        assert key.last_used_at >= first


class TestRevoke:
    def test_ends_the_key_once_and_tells_of_it(self):
        key, _ = keys.issue(name="Shop", scope="read")
        keys.revoke(key=key, at=(at := db.now()))
        key.refresh_from_db()
        assert key.revoked_at == at
        assert Event.objects.get(type="api_key.revoked").object_id == key.id
        with pytest.raises(Conflict):
            keys.revoke(key=key, at=at)


class TestCreateApiKeyCommand:
    def run(self, *arguments: str) -> list[str]:
        out = StringIO()
        call_command("create_api_key", *arguments, stdout=out)
        return out.getvalue().splitlines()

    def test_prints_the_key_alone_on_the_last_line(self):
        lines = self.run("--name", "Shop")
        key = keys.find(lines[-1])
        assert key is not None
        assert (key.name, key.scope, key.user) == ("Shop", "write", None)

    def test_binds_it_to_a_member_of_staff(self):
        ann = world.ann()
        key = keys.find(self.run("--name", "Shop", "--scope", "usage", "--user", "Ann@Vendor.example")[-1])
        assert (key.scope, key.user) == ("usage", ann)

    @pytest.mark.parametrize(
        "arguments",
        [(), ("--name", "x", "--scope", "all"), ("--name", "x", "--user", "nobody@x.example"), ("--name", "")],
    )
    def test_refuses_in_a_sentence(self, arguments):
        with pytest.raises(CommandError):
            self.run(*arguments)

    def test_refuses_a_customer(self):
        world.user(email="cora@acme.example")
        with pytest.raises(CommandError, match="active staff"):
            self.run("--name", "x", "--user", "cora@acme.example")
