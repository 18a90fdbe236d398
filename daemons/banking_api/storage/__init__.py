"""Where the ledger is kept (MongoDB) and where users' names are asked for (user_api). No banking rules."""
