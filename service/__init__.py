"""Acequia takes records from SQS and leaves them in Amazon Redshift, losing nothing.

    land     records queue → raw Parquet object → notice on the refine queue
    refine   refine queue  → typed, masked Parquet by event date → notice on the load queue
    load     load queue    → one COPY for many files, with the ledger, in one transaction

A message leaves a queue only after its next durable place has it.
"""
