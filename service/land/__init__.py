"""Layer 1: message bodies exactly as they came, micro-batched into raw Parquet objects."""
