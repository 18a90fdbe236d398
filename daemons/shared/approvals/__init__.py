"""Acts that wait for approval: requested by one, approved or rejected by another (docs/adr/0010)."""
