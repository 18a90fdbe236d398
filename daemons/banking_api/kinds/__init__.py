"""The kinds of commands, a file each: what is asked, the rule, and how others see what became of it."""
