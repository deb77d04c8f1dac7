"""Run migrations on the connection that the store hands over."""

from alembic import context

from feedback.study.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("a study's database is migrated when it is opened: feedback.study.Store(url)")
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
