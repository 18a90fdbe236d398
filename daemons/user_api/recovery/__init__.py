"""Getting back in without the password."""
