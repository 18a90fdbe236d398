"""Plumbing of all daemons, without banking words: HTTP, sign-in checks, MongoDB, Kafka, logs."""
