"""Layer 1 to 2: raw objects become typed, masked Parquet by event date, with SQL in DuckDB."""
