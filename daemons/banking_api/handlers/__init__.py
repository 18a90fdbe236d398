"""HTTP: read the request, ask a service, answer with a view."""
