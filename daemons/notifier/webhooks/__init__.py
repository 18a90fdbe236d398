"""Programs elsewhere that are told of events by HTTP."""
