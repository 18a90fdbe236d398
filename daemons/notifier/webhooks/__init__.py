"""External programs that receive events by HTTP."""
