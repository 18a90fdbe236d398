"""Who calls: session tokens (EdDSA, signed by user_api alone) and service tokens between daemons."""
