"""Layer 2: many refined files become one COPY, in one transaction with the ledger."""
