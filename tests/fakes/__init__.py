"""Ports in memory, all writing to one journal in the order of effects."""
