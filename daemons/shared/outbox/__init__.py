"""The transactional outbox: events are written with the change that they report, and published afterwards.

`OutboxStore.add` joins the caller's transaction and never commits it. The `Relay` publishes what has been
committed, in order, and removes it only once Kafka has confirmed it, so nothing is lost; what is published
twice after a fault carries the same event id, so nothing has its effect twice.
"""
