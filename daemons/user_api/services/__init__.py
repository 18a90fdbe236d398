"""What can be done with users and sessions; one verb a module."""
