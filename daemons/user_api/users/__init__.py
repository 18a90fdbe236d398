"""Users: registering, looking up, passwords, roles and locks."""
