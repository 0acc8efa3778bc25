"""A teacher behind a port: one process holds it, others ask it; see `client` and `server`."""
