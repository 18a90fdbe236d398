"""The pages behind links in mail."""
