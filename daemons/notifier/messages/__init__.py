"""Messages to people: their texts in each language, and what they are made of."""
