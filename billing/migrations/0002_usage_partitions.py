"""The partitioned tables of the usage stream: keys by hash of the event's id, events by month."""

from django.db import migrations

SQL = """
CREATE TABLE billing_usageeventkey (
    event_id varchar(200) COLLATE "C" PRIMARY KEY,
    body_digest bytea NOT NULL,
    customer_id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT statement_timestamp()
) PARTITION BY HASH (event_id);

CREATE TABLE billing_usageevent (
    event_id varchar(200) COLLATE "C" NOT NULL,
    customer_id uuid NOT NULL,
    name varchar(100) NOT NULL,
    "user" varchar(200) NOT NULL DEFAULT '',
    timestamp timestamptz NOT NULL,
    quantity numeric(30, 6) NOT NULL DEFAULT 1,
    properties jsonb NOT NULL DEFAULT '{}',
    subscription_id uuid NULL,
    received_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (timestamp, event_id)
) PARTITION BY RANGE (timestamp);
CREATE INDEX billing_usageevent_of_customer ON billing_usageevent (customer_id, name, timestamp);
CREATE TABLE billing_usageevent_other PARTITION OF billing_usageevent DEFAULT;

DO $$
DECLARE
    part int;
    month timestamptz;
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE billing_usageeventkey_%s PARTITION OF billing_usageeventkey FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
    FOR part IN -1..3 LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => part);
        month := date_trunc('month', month AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
        EXECUTE format(
            'CREATE TABLE billing_usageevent_%s PARTITION OF billing_usageevent FOR VALUES FROM (%L) TO (%L)',
            to_char(month AT TIME ZONE 'UTC', 'YYYYMM'), month,
            (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
        );
    END LOOP;
END $$;
"""

REVERSE = "DROP TABLE billing_usageevent; DROP TABLE billing_usageeventkey;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
