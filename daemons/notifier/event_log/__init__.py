"""The log of events: recorded once, in one order, read page by page, proved."""
