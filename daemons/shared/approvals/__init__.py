"""Acts that wait for a second person: requested by one, approved or rejected by another (docs/adr/0010)."""
