"""Moving money, and what people see of it."""
