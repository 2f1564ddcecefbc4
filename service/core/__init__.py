"""Words, decisions and ports that every layer shares. Standard library only; nothing here awaits the world."""
