"""On demand, by an operator: raw files refined again, and the proof that everything adds up."""
