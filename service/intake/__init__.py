"""How every layer receives: poll, sort, pile up, seal a batch, settle its messages."""
