"""Sample events for the one-machine stack and the tests: generated, repeatable, and each with its fate known."""
