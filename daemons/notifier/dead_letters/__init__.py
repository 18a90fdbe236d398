"""Records that could not be decoded: set aside, shown, replayed."""
