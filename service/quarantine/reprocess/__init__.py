"""The way back on demand: what failed is listed, tried under the definitions of now, and sent back."""
