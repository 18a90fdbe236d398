"""Users and sessions in MongoDB, password hashes by Argon2id, the list of common passwords."""
