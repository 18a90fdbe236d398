"""One HTTP application shape for all daemons: routes that declare who may call them, problem+json."""
