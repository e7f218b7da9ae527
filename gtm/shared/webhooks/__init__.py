"""Facts for programs elsewhere: signed requests by the rules of Standard Webhooks, sent at least once.

A trigger lists each fact as it is written, in the transaction of its change (``UnsentFact``), if anybody listens.
``deliveries.fan_out`` makes of the list one delivery for each endpoint that wants the fact, exactly once;
``dispatch.run`` sends them. An attempt's row is committed before its request leaves, and no request is made within a
transaction: whoever is killed in between leaves an open attempt, and the delivery is due again when its lease is over.
Order isn't promised; each message carries its position and its object's version. All of it lives in wall time.
"""
