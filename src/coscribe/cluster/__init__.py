"""Many instances: which of them owns a workspace, and how a client's messages come to it.

    client -- socket --> gateway -- link over NATS --> core (owner) --> PostgreSQL
                            |                            |
                            +------ leases: who owns ----+

See docs/decisions/0021-many-instances.md.
"""
