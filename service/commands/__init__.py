"""The verbs of the command line that an operator runs on demand, one file each."""
