"""Layer 3: what was rejected becomes a table, mail, and a way back."""
