"""user_api: who the users are, their sign-in, their sessions and roles."""
