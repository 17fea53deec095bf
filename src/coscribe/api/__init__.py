"""REST: the rights, people and documents around the engine. One noun a module."""
