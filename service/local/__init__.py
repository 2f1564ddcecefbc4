"""The one-machine stack: emulated AWS, a local warehouse behind a Redshift stand-in, sample events."""
