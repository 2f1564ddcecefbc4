"""How the service logs in to the warehouse."""
