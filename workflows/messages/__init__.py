"""Messages: the envelope, what makes one invalid, the types, and the filters that choose some."""
