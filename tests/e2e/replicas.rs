//! Two servers on one PostgreSQL and one broker.
