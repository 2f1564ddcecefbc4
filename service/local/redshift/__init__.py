"""A stand-in for Amazon Redshift: its wire protocol, its COPY from S3 and its refusals, over a PostgreSQL."""
