"""One account that can't be decided keeps no other from its daily review."""

import pytest
from django.db import connection

from crm import tasks
from crm.models import MotionDecision
from tests.crm import makers

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF NEW.account_id = '{}' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON crm_motiondecision FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.mark.django_db
def test_the_others_are_reviewed_and_the_failure_is_told() -> None:
    broken, sound = makers.account(), makers.account(domain="globex.com")
    MotionDecision.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(REFUSE.format(broken.pk))
    with pytest.raises(ExceptionGroup, match="1 accounts could not be reviewed"):
        tasks.review_accounts()
    assert MotionDecision.objects.get().account == sound
