"""What each layer is built from: one file for what all have in common, one for the flow, one for its layer 3."""
